"""From a collection of Chroma's default function to one of this library, without embedding anything again.

The default function computes the same model, so the old collection can simply be opened and searched. A copy under this
library's name is worth it for cosine distance, for a fingerprint that keeps other models out, and for Chroma's own
``add`` and ``query`` with the fast engine. Run it: python examples/migrate_default_collection.py
"""

from __future__ import annotations

from typing import Any

import chromadb

from chroma_minilm import MiniLMEmbeddingFunction
from minilm_retrieval import Retriever, open_collection

QUESTION = "Which planet was the probe sent to?"
TEXTS = [
    "The spacecraft entered orbit around Mars.",
    "Investors worry about rising interest rates.",
    "Bake the bread for forty minutes until golden.",
    "Plants absorb carbon dioxide through their leaves.",
]
PAGE = 1000


def main() -> None:
    """Open the old collection as it is, copy it, compare."""
    client = chromadb.EphemeralClient()
    write_old_collection(client)

    old = open_collection("old", client=client)
    print(f"Opened as it is:      {best(old)}")

    new = open_collection("new", client=client, create=True)
    for offset in range(0, old.count(), PAGE):
        page = old.get(limit=PAGE, offset=offset, include=["embeddings", "documents", "metadatas"])
        new.upsert(
            ids=page["ids"],
            embeddings=page["embeddings"],
            documents=page["documents"],
            metadatas=page["metadatas"],
        )
    print(f"Copied, {new.count()} of {old.count()}:       {best(new)}")


def write_old_collection(client: Any) -> None:
    """Write what Chroma's default function leaves behind, without the download that it starts with."""
    old = client.create_collection("old")
    vectors = MiniLMEmbeddingFunction.for_default()(TEXTS)
    old.add(ids=[f"text-{number}" for number in range(len(TEXTS))], documents=TEXTS, embeddings=vectors)


def best(collection: Any) -> str:
    """Answer the question."""
    hit = Retriever(collection).search(QUESTION, k=1)[0]
    return f"cosine {hit.score:.3f}  {hit.document}"


if __name__ == "__main__":
    main()
