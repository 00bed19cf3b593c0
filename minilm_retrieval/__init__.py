"""Embeddings and retrieval for all-MiniLM-L6-v2: one engine, one vector, everywhere."""
