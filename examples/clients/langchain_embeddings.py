"""LangChain's OpenAI embeddings, with nothing changed but the address.

Run a server, "minilm serve", and then: python examples/clients/langchain_embeddings.py
"""

from __future__ import annotations

import os

from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import OpenAIEmbeddings

TEXTS = ["Cats sleep for most of the day.", "The stock market fell on Monday.", "Bread is baked until golden."]

# This client sends token ids of OpenAI's, whose file it fetches once; check_embedding_ctx_length=False sends text.
embeddings = OpenAIEmbeddings(
    openai_api_base=os.environ.get("MINILM_URL", "http://localhost:8444/v1"), openai_api_key="any"
)
store = InMemoryVectorStore.from_texts(TEXTS, embeddings)
for document, score in store.similarity_search_with_score("How long does a cat rest?", k=2):
    print(f"cosine {score:.3f}  {document.page_content}")
