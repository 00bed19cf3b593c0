"""verify_collection tells a damaged collection from a store that cannot be reached."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from chromadb.errors import InternalError
from fake_engine import FakeEngine
from indexed import copied, indexed_collection, kinds, only_fault, write_passages
from stores import TOPICS, chroma_server, fill, local_client, random_vectors

from minilm_retrieval import MiniLMEmbedder, open_collection
from minilm_retrieval.errors import StoreError
from minilm_retrieval.maintenance import CHECKS, verify_collection


@pytest.fixture
def indexed(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> tuple[Any, dict[str, list[str]]]:
    """Five documents of two passages each, with vectors that take no time."""
    return indexed_collection(tmp_path / "chroma", embedder)


def test_lost_index(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    collection = fill(local_client(tmp_path / "big"), "docs", random_vectors(1100))
    # These are not in the index's files yet, but in the log of writes.
    collection.add(ids=[f"new-{number}" for number in range(50)], embeddings=list(random_vectors(50, seed=1)))
    place, segment = copied(tmp_path / "big", tmp_path / "copy")
    shutil.rmtree(place / segment)
    report = verify_collection(local_client(place).get_collection("docs", embedding_function=None), embedder)
    assert (report.count, report.records, report.vectors) == (1150, 1150, 1150 - report.faults[0].total)
    assert kinds(report)[0] == "index"
    assert 1090 < report.faults[0].total <= 1100
    assert f"Vectors that cannot be read from it: {report.faults[0].total}." in report.faults[0].message
    assert "minilm reembed" in report.faults[0].remedy
    assert not report.sound


def test_unreadable_index(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    fill(local_client(tmp_path / "big"), "docs", random_vectors(1500))
    place, segment = copied(tmp_path / "big", tmp_path / "copy")
    (place / segment / "header.bin").write_bytes(bytes(100))
    report = verify_collection(local_client(place).get_collection("docs", embedding_function=None), embedder)
    assert report.count is None
    assert set(kinds(report)) == {"index"}
    assert "cannot be read" in report.faults[0].message
    assert "hnsw" in report.faults[0].message


class Failing:
    """A collection of which some calls fail; each failure is raised once."""

    def __init__(self, collection: Any, **failures: list[Exception]) -> None:
        self._collection, self._failures = collection, failures

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._collection, name)
        if name not in self._failures:
            return method

        def call(**arguments: Any) -> Any:
            if self._failures[name]:
                raise self._failures[name].pop()
            return method(**arguments)

        return call


def passing(call: str) -> list[Exception]:
    return [httpx.ReadTimeout("timed out")] if call != "query" else [Exception("503 Service Unavailable")]


@pytest.mark.parametrize("call", ["count", "get", "query"])
def test_a_passing_failure_is_no_fault(indexed: Any, embedder: MiniLMEmbedder, call: str) -> None:
    failing: Any = Failing(indexed[0], **{call: passing(call)})
    report = verify_collection(failing, embedder)
    assert (report.faults, report.skipped, report.compared) == ([], {}, 10)


@pytest.mark.parametrize("call", ["count", "get", "query"])
def test_a_store_that_cannot_be_reached_is_no_fault(indexed: Any, embedder: MiniLMEmbedder, call: str) -> None:
    failing: Any = Failing(indexed[0], **{call: passing(call) * 100})
    with pytest.raises(StoreError, match=r"timed out|503"):
        verify_collection(failing, embedder)


@pytest.mark.parametrize("call", ["count", "get", "query"])
def test_what_chroma_itself_cannot_read_is_a_fault(indexed: Any, embedder: MiniLMEmbedder, call: str) -> None:
    failing: Any = Failing(indexed[0], **{call: [InternalError("torn")] * 1000})
    report = verify_collection(failing, embedder)
    fault = only_fault(report)
    assert (fault.kind, "torn" in fault.message) == ("index", True)
    assert report.compared == (10 if call == "query" else 0)
    assert "index" not in report.skipped
    assert set(report.skipped) == (
        {"self-hit", "recall"} if call == "query" else set(CHECKS) - {"fingerprint", "index"}
    )


def test_collection_that_was_deleted(tmp_path: Path, indexed: Any, embedder: MiniLMEmbedder) -> None:
    local_client(tmp_path / "chroma").delete_collection("docs")
    with pytest.raises(StoreError, match="docs"):
        verify_collection(indexed[0], embedder)


def test_server_that_went_away(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> None:
    with chroma_server(tmp_path) as port:
        collection = open_collection("docs", host="127.0.0.1", port=port, retry_for=0, create=True, embedder=embedder)
        write_passages(collection, str(tmp_path / "gone.txt"), TOPICS, embedder)
        assert verify_collection(collection, embedder).sound
    with pytest.raises(StoreError):
        verify_collection(collection, embedder)
