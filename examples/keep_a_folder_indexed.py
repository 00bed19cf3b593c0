"""A folder of documents kept in a collection: indexed, changed, indexed again, checked, moved and embedded anew.

Everything here is also a command: minilm index, verify, collections, export, import, reembed.
Run it: python examples/keep_a_folder_indexed.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from minilm_retrieval import IndexReport, MiniLMEmbedder, Retriever, index_documents, open_collection
from minilm_retrieval.ingest import load_documents
from minilm_retrieval.maintenance import (
    describe_collection,
    export_collection,
    import_collection,
    reembed_collection,
    verify_collection,
)
from minilm_retrieval.store import connect

NOTES = {
    "tea.md": "# Tea\n\nGreen tea is steeped at 80 degrees, black tea at 100.\n",
    "bread.md": "# Bread\n\nBake the bread for forty minutes until it is golden.\n",
    "mars.txt": "The spacecraft entered orbit around Mars.\n",
}


def main() -> None:
    """Go through a folder's life."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes")
        notes.mkdir()
        for name, text in NOTES.items():
            (notes / name).write_text(text, encoding="utf-8")
        store = Path(folder, "chroma")
        collection = open_collection("notes", path=store, create=True)

        print(f"First:     {told(index_documents(collection, load_documents([notes])))}")
        print(f"Again:     {told(index_documents(collection, load_documents([notes])))}")
        (notes / "tea.md").write_text(f"{NOTES['tea.md']}\nWhite tea wants 70 degrees.\n", encoding="utf-8")
        (notes / "mars.txt").unlink()
        print(f"Changed:   {told(index_documents(collection, load_documents([notes]), prune=True))}")

        report = verify_collection(collection, sample="all")
        print(f"Verified:  sound {report.sound}, {report.compared} texts embedded again")
        sources = describe_collection(collection).sources
        print(f"Described: {', '.join(f'{Path(source).name} {count}' for source, count in sources.items())}")

        file = Path(folder, "notes.parquet")
        count = export_collection(collection, file)
        client = connect(path=Path(folder, "elsewhere"), create=True)
        written = import_collection(file, client).written
        print(f"Moved:     {count} records exported, {written} imported")

        coarse = MiniLMEmbedder(precision="int8")
        print(f"Anew:      {reembed_collection(client, 'notes', coarse).embedded} records embedded in int8")
        hit = Retriever(open_collection("notes", client=client), coarse).search("How hot is water for white tea?", k=1)[
            0
        ]
        print(f"Found:     {hit.score:.2f} {Path(hit.metadata['source']).name}")


def told(report: IndexReport) -> str:
    """Return a report in a line."""
    return (
        f"{report.added} added, {report.updated} updated, {report.unchanged} unchanged, {report.deleted} deleted; "
        f"{report.passages_written} passages written"
    )


if __name__ == "__main__":
    main()
