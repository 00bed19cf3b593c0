"""Index the Python language reference, which every Python carries, and ask it a question.

Run it with ``make demo``, or: python examples/python_reference.py "your question"
"""

from __future__ import annotations

import sys
from pydoc_data.topics import topics

from minilm_retrieval import Document, MiniLMEmbedder, Retriever, index_documents, open_collection

PATH = "demo-chroma"
QUESTION = "How are the arguments of a function call evaluated?"


def main() -> None:
    """Index, search, print."""
    question = " ".join(sys.argv[1:]) or QUESTION
    embedder = MiniLMEmbedder()
    collection = open_collection("python-reference", path=PATH, create=True)

    documents = (Document(id=topic, text=text) for topic, text in topics.items())
    report = index_documents(collection, documents, embedder, show_progress=sys.stderr.isatty())
    print(
        f"Indexed {report.added + report.updated} topics of the Python language reference as "
        f"{report.passages_written} passages in {report.seconds:.1f} s; {report.unchanged} were there already.\n"
    )

    print(f"Question: {question}\n")
    for rank, hit in enumerate(Retriever(collection, embedder).search(question, k=3), 1):
        place = f"topic {hit.metadata['source']!r}, characters {hit.metadata['start']}-{hit.metadata['end']}"
        print(f"{rank}. cosine {hit.score:.3f}  {place}")
        print("\n".join(f"   | {line}" for line in (hit.document or "").strip().splitlines()), end="\n\n")


if __name__ == "__main__":
    main()
