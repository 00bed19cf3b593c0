"""A Chroma collection embedded by Chroma's function for text-embeddings-inference, whose protocol is spoken here too.

Run a server, "minilm serve", and then: python examples/clients/chroma_hf_server.py
"""

from __future__ import annotations

import os

import chromadb
from chromadb.utils.embedding_functions import HuggingFaceEmbeddingServer

NOTES = {"cat": "Cats sleep for most of the day.", "market": "The stock market fell on Monday."}

server = os.environ.get("MINILM_URL", "http://localhost:8444/v1").removesuffix("/v1")
# It waits five seconds for an answer, so that a few hundred texts at a time are what it can be given.
notes = chromadb.EphemeralClient().create_collection(
    "notes",
    embedding_function=HuggingFaceEmbeddingServer(url=f"{server}/embed"),
    configuration={"hnsw": {"space": "cosine"}},
)
notes.add(ids=list(NOTES), documents=list(NOTES.values()))
answer = notes.query(query_texts=["How long does a cat rest?"], n_results=2)
for id, distance in zip(answer["ids"][0], answer["distances"][0], strict=True):
    print(f"cosine {1 - distance:.3f}  {id}: {NOTES[id]}")
