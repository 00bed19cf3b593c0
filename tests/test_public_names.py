"""The names that users, stored collections and other projects depend on."""

from __future__ import annotations

import importlib

import pytest
from subprocesses import run_python

import minilm_retrieval

NAMES = {
    "minilm_retrieval": [
        "Document",
        "Hit",
        "IndexReport",
        "MiniLMEmbedder",
        "Retriever",
        "errors",
        "index_documents",
        "open_collection",
    ],
    "chroma_minilm": [
        "MiniLMEmbeddingFunction",
        "accelerate_default_function",
        "accelerated_default_function",
        "restore_default_function",
    ],
    "langchain_minilm": ["MiniLMEmbeddings", "MiniLMRetriever"],
    "llama_index_minilm": ["MiniLMEmbedding", "MiniLMRetriever"],
}


@pytest.mark.parametrize("package", NAMES)
def test_package_offers_its_names(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(getattr(module, "__all__", [])) == NAMES[package]
    for name in NAMES[package]:
        assert getattr(module, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_here"):
        minilm_retrieval.nothing_here  # noqa: B018


@pytest.mark.parametrize(
    ("package", "dependency", "extra"),
    [
        ("chroma_minilm", "chromadb", "chroma"),
        ("langchain_minilm", "langchain_core", "langchain"),
        ("llama_index_minilm", "llama_index", "llama-index"),
    ],
)
def test_an_integration_without_its_framework_names_the_extra(package: str, dependency: str, extra: str) -> None:
    output = run_python(
        f"""
        import sys
        sys.modules["{dependency}"] = None
        from minilm_retrieval.errors import MissingExtraError
        try:
            import {package}
        except MissingExtraError as error:
            print(error)
        """
    )
    assert f'pip install "minilm-retrieval[{extra}]"' in output


def test_missing_chroma_names_the_extra() -> None:
    output = run_python(
        """
        import sys
        sys.modules["chromadb"] = None
        from minilm_retrieval import open_collection
        from minilm_retrieval.errors import MissingExtraError
        try:
            open_collection("docs", path=".")
        except MissingExtraError as error:
            print(error)
        """
    )
    assert 'pip install "minilm-retrieval[chroma]"' in output
