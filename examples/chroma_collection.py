"""A Chroma collection that embeds with this library: stored with it, and found again by a later process.

Run it: python examples/chroma_collection.py
"""

from __future__ import annotations

import tempfile

import chromadb

from chroma_minilm import MiniLMEmbeddingFunction

NOTES = {
    "tea": "Green tea is steeped at 80 degrees for two minutes.",
    "coffee": "Filter coffee wants water just off the boil.",
    "bread": "The dough rests overnight in the refrigerator.",
    "cat": "Cats sleep for most of the day.",
}


def main() -> None:
    """Write, open again, ask."""
    with tempfile.TemporaryDirectory() as folder:
        client = chromadb.PersistentClient(folder)
        notes = client.create_collection("notes", embedding_function=MiniLMEmbeddingFunction())
        notes.add(ids=list(NOTES), documents=list(NOTES.values()))

        # No function is named here: Chroma reads which one it was, since chroma_minilm is imported.
        again = client.get_collection("notes")
        answer = again.query(query_texts=["How hot should the water for green tea be?"], n_results=2)
        distances, documents = answer["distances"] or [[]], answer["documents"] or [[]]
        for id, distance, document in zip(answer["ids"][0], distances[0], documents[0], strict=True):
            print(f"{id:8} cosine {1 - distance:.3f}  {document}")


if __name__ == "__main__":
    main()
