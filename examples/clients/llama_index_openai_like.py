"""LlamaIndex's client for servers that speak OpenAI's protocol, as the embedding model of an index.

Run a server, "minilm serve", and then: python examples/clients/llama_index_openai_like.py
"""

from __future__ import annotations

import os

from llama_index.core import Document, VectorStoreIndex
from llama_index.embeddings.openai_like import OpenAILikeEmbedding

TEXTS = ["Cats sleep for most of the day.", "The stock market fell on Monday.", "Bread is baked until golden."]

model = OpenAILikeEmbedding(
    model_name="all-MiniLM-L6-v2",
    api_base=os.environ.get("MINILM_URL", "http://localhost:8444/v1"),
    api_key="any",
    embed_batch_size=256,
)
index = VectorStoreIndex.from_documents([Document(text=text) for text in TEXTS], embed_model=model)
for hit in index.as_retriever(similarity_top_k=2).retrieve("How long does a cat rest?"):
    print(f"cosine {hit.score:.3f}  {hit.text}")
