"""A Chroma collection whose texts and queries this server embeds, by way of Chroma's own OpenAI function.

Run a server, "minilm serve", and then: python examples/clients/chroma_openai.py
"""

from __future__ import annotations

import os

import chromadb
from chromadb.utils.embedding_functions import OpenAIEmbeddingFunction

NOTES = {"cat": "Cats sleep for most of the day.", "market": "The stock market fell on Monday."}

# The key is not stored: who opens a stored collection of this function later sets CHROMA_OPENAI_API_KEY to any value.
function = OpenAIEmbeddingFunction(
    api_base=os.environ.get("MINILM_URL", "http://localhost:8444/v1"), api_key="any", model_name="all-MiniLM-L6-v2"
)
notes = chromadb.EphemeralClient().create_collection(
    "notes", embedding_function=function, configuration={"hnsw": {"space": "cosine"}}
)
notes.add(ids=list(NOTES), documents=list(NOTES.values()))
answer = notes.query(query_texts=["How long does a cat rest?"], n_results=2)
for id, distance in zip(answer["ids"][0], answer["distances"][0], strict=True):
    print(f"cosine {1 - distance:.3f}  {id}: {NOTES[id]}")
