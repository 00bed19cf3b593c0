"""A collection written by any tool is searched by every tool, with the same ids and the same scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_chroma import Chroma
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.vector_stores.chroma import ChromaVectorStore
from stores import TOPICS, local_client
from typer.testing import CliRunner

from chroma_minilm import MiniLMEmbeddingFunction
from langchain_minilm import MiniLMEmbeddings
from langchain_minilm import MiniLMRetriever as LangChainRetriever
from llama_index_minilm import MiniLMEmbedding
from llama_index_minilm import MiniLMRetriever as LlamaIndexRetriever
from minilm_retrieval import MiniLMEmbedder, Retriever, open_collection
from minilm_retrieval.cli.main import app
from minilm_retrieval.similarity import cosine_similarity, rank

QUERIES = ["a pet that likes to sleep", "money", "What grows in the light?"]
Answer = list[tuple[str, float]]
IDS = [f"topic-{number}" for number in range(len(TOPICS))]


def write_with_chroma(path: Path) -> None:
    collection = local_client(path).create_collection("docs", embedding_function=MiniLMEmbeddingFunction())
    collection.add(ids=IDS, documents=TOPICS)


def write_with_chroma_default(path: Path) -> None:
    """As Chroma's own function leaves it behind: its name, and the distance l2."""
    function = MiniLMEmbeddingFunction.for_default()
    collection = local_client(path).create_collection(
        "docs", embedding_function=function, configuration={"hnsw": {"space": "l2"}}
    )
    collection.add(ids=IDS, documents=TOPICS)


def write_with_langchain(path: Path) -> None:
    Chroma.from_texts(TOPICS, MiniLMEmbeddings(), ids=IDS, collection_name="docs", client=local_client(path))


def write_with_llama_index(path: Path) -> None:
    store = ChromaVectorStore(chroma_collection=local_client(path).create_collection("docs"))
    nodes = [TextNode(id_=id, text=text, metadata={"title": id}) for id, text in zip(IDS, TOPICS, strict=True)]
    VectorStoreIndex(
        nodes, storage_context=StorageContext.from_defaults(vector_store=store), embed_model=MiniLMEmbedding()
    )


def write_with_minilm_index(path: Path) -> None:
    file = path / "topics.jsonl"
    file.write_text("".join(json.dumps({"id": id, "text": text}) + "\n" for id, text in zip(IDS, TOPICS, strict=True)))
    done = CliRunner().invoke(app, ["index", str(file), "--path", str(path), "--collection", "docs"])
    assert done.exit_code == 0, done.output


def read_with_core(path: Path, query: str) -> Answer:
    hits = Retriever(open_collection("docs", path=path)).search(query, k=5)
    return [(hit.id, hit.score) for hit in hits]


def read_with_langchain(path: Path, query: str) -> Answer:
    found = LangChainRetriever(collection=open_collection("docs", path=path), k=5).invoke(query)
    return [(str(document.id), document.metadata["score"]) for document in found]


def read_with_llama_index(path: Path, query: str) -> Answer:
    found = LlamaIndexRetriever(open_collection("docs", path=path), similarity_top_k=5).retrieve(query)
    return [(hit.node_id, float(hit.score or 0)) for hit in found]


def read_with_minilm_search(path: Path, query: str) -> Answer:
    done = CliRunner().invoke(app, ["search", query, "--path", str(path), "-c", "docs", "-k", "5", "--json"])
    assert done.exit_code == 0, done.output
    return [(hit["id"], hit["score"]) for hit in json.loads(done.output)]


WRITERS: list[Callable[[Path], None]] = [
    write_with_chroma,
    write_with_chroma_default,
    write_with_langchain,
    write_with_llama_index,
    write_with_minilm_index,
]
READERS: list[Callable[[Path, str], Answer]] = [
    read_with_core,
    read_with_langchain,
    read_with_llama_index,
    read_with_minilm_search,
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], None]], Path]:
    paths: dict[Any, Path] = {}

    def by(writer: Callable[[Path], None]) -> Path:
        if writer not in paths:
            paths[writer] = tmp_path_factory.mktemp(writer.__name__)
            writer(paths[writer])
        return paths[writer]

    return by


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
def test_every_reader_finds_the_same_in_what_any_writer_wrote(
    writer: Any, reader: Any, written: Any, embedder: MiniLMEmbedder
) -> None:
    path = written(writer)
    stored = open_collection("docs", path=path).get(include=["documents", "embeddings"])
    assert sorted(stored["documents"] or []) == sorted(TOPICS)
    for query in QUERIES:
        scores = cosine_similarity(embedder.encode(query), stored["embeddings"])
        best = rank(scores, stored["ids"])[:5]
        found = reader(path, query)
        assert [id for id, _ in found] == [stored["ids"][row] for row in best]
        assert [score for _, score in found] == pytest.approx([float(scores[row]) for row in best], abs=1e-5)


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
def test_what_is_written_stands_for_the_text(writer: Any, written: Any, embedder: MiniLMEmbedder) -> None:
    stored = open_collection("docs", path=written(writer)).get(include=["documents", "embeddings"])
    texts = list(stored["documents"] or [])
    if writer is write_with_llama_index:
        texts = [f"title: {id}\n\n{text}" for id, text in zip(stored["ids"], texts, strict=True)]
    assert abs(embedder.encode(texts) - stored["embeddings"]).max() <= 1e-5
