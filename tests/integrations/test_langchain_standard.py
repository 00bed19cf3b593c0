"""LangChain's own test suites for embeddings and retrievers, without an override."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, RetrieversIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from stores import TOPICS

from langchain_minilm import MiniLMEmbeddings, MiniLMRetriever
from minilm_retrieval import MiniLMEmbedder, open_collection


class TestEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return MiniLMEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "all-MiniLM-L6-v2"}


class TestEmbeddingsIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return MiniLMEmbeddings


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def collection(self, tmp_path: Any, embedder: MiniLMEmbedder) -> None:
        self._collection = open_collection("docs", path=tmp_path, create=True)
        self._collection.add(
            ids=[str(number) for number in range(len(TOPICS))],
            documents=TOPICS,
            embeddings=list(embedder.encode(TOPICS)),
        )

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return MiniLMRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"collection": self._collection}

    @property
    def retriever_query_example(self) -> str:
        return "a pet that likes to sleep"
