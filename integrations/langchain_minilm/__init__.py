"""LangChain integration of minilm-retrieval. The package name is reserved; it has no public names in this version."""
