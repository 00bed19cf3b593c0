"""verify_collection finds what is wrong with passages, their sources and their number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import chromadb
import pytest
from fake_engine import FakeEngine
from indexed import indexed_collection, kinds, only_fault, write_passages
from stores import TOPICS

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.ingest.passage_ids import PassageId
from minilm_retrieval.maintenance import verify_collection


@pytest.fixture
def indexed(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> tuple[Any, dict[str, list[str]]]:
    """Five documents of two passages each, with vectors that take no time."""
    return indexed_collection(tmp_path / "chroma", embedder)


def test_missing_passage(indexed: Any, embedder: MiniLMEmbedder) -> None:
    collection, ids = indexed
    collection.delete(ids=[ids["notes/d"][0]])
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, fault.ids, fault.total) == ("missing", (ids["notes/d"][0],), 1)
    assert "notes/d" in fault.message
    assert "minilm index" in fault.remedy


def test_interrupted_run_leaves_part_of_another_version(indexed: Any, embedder: MiniLMEmbedder) -> None:
    collection, _ = indexed
    part = write_passages(collection, "notes/a", TOPICS[2:5], embedder, "second")
    collection.delete(ids=part[1:])
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, fault.ids) == ("orphan", (part[0],))
    assert "interrupted" in fault.message
    assert "notes/a" in fault.message
    assert "minilm index" in fault.remedy


def test_two_whole_versions(indexed: Any, embedder: MiniLMEmbedder) -> None:
    collection, ids = indexed
    second = write_passages(collection, "notes/a", TOPICS[2:5], embedder, "second")
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, set(fault.ids)) == ("orphan", {*ids["notes/a"], *second})
    assert "several versions" in fault.message


def test_two_versions_and_none_whole(indexed: Any, embedder: MiniLMEmbedder) -> None:
    collection, ids = indexed
    second = write_passages(collection, "notes/a", TOPICS[2:5], embedder, "second")
    collection.delete(ids=[ids["notes/a"][0], *second[1:]])
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, fault.ids) == ("missing", (ids["notes/a"][0],))
    assert "no version is whole: 1, such as notes/a; passages missing: 1" in fault.message


@pytest.mark.parametrize("source", ["notes/z", None])
def test_passage_of_another_source_than_its_id_says(indexed: Any, embedder: MiniLMEmbedder, source: str | None) -> None:
    collection, ids = indexed
    collection.update(ids=ids["notes/b"][:1], metadatas=[{"source": source}])
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, fault.ids) == ("orphan", (ids["notes/b"][0],))
    assert "delete" in fault.remedy


def test_passage_with_an_id_of_the_old_form(indexed: Any, embedder: MiniLMEmbedder) -> None:
    collection, _ = indexed
    old = f"minilm-{'0123456789abcdef' * 2}"
    collection.add(ids=[old, "minilm-notes-7"], embeddings=list(embedder.encode(TOPICS[:2])), documents=TOPICS[:2])
    report = verify_collection(collection, embedder)
    fault = only_fault(report)
    assert (fault.kind, fault.ids) == ("orphan", (old,))
    assert report.passages == 10


def test_file_that_is_gone(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> None:
    kept, gone = tmp_path / "a#b.txt", tmp_path / "gone.txt"
    kept.touch()
    names = [
        str(kept),
        f"{kept}#line-3#x",
        str(gone),
        f"{gone}#line-1",
        "https://a.org/b",
        "/nowhere-9/docs/intro",
        "c.txt",
    ]
    sources = dict(zip(names, [[text] for text in TOPICS], strict=False))
    collection, _ = indexed_collection(tmp_path / "chroma", embedder, sources)
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, set(fault.ids), fault.total) == ("orphan", {str(gone), f"{gone}#line-1"}, 2)
    assert "--prune" in fault.remedy
    assert verify_collection(collection, embedder, check_sources=False).sound


def test_files_are_not_looked_for_when_the_store_is_elsewhere(
    tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder
) -> None:
    collection = chromadb.EphemeralClient().create_collection("elsewhere", embedding_function=None)
    write_passages(collection, str(tmp_path / "gone.txt"), TOPICS[:2], embedder)
    assert verify_collection(collection, embedder).sound
    assert kinds(verify_collection(collection, embedder, check_sources=True)) == ["orphan"]


@pytest.mark.parametrize("place", [{"end": 7}, {"start": 1}, {"start": "0"}, {"end": None}])
def test_places_that_do_not_fit_the_text(indexed: Any, embedder: MiniLMEmbedder, place: dict[str, Any]) -> None:
    collection, ids = indexed
    collection.update(ids=ids["notes/a"][:1], metadatas=[place])
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, fault.ids) == ("offsets", (ids["notes/a"][0],))


class Liar:
    """A collection whose store miscounts."""

    def __init__(self, collection: Any, counts: list[int]) -> None:
        self._collection, self._counts = collection, counts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def count(self) -> int:
        return self._counts.pop(0)


def test_count_that_is_wrong(indexed: Any, embedder: MiniLMEmbedder) -> None:
    liar: Any = Liar(indexed[0], [12, 12])
    fault = only_fault(verify_collection(liar, embedder))
    assert fault.kind == "count"
    assert "counts 12 records, and gives 10" in fault.message


def test_collection_that_changes_meanwhile(indexed: Any, embedder: MiniLMEmbedder) -> None:
    liar: Any = Liar(indexed[0], [9, 10])
    fault = only_fault(verify_collection(liar, embedder))
    assert fault.kind == "count"
    assert "from 9 to 10 records while" in fault.message


def test_repeated_ids(indexed: Any, embedder: MiniLMEmbedder) -> None:
    class Repeating(Liar):
        def get(self, **arguments: Any) -> Any:
            page = self._collection.get(**arguments)
            if arguments.get("limit", 1) > 1:
                page["ids"] = [*page["ids"][:-1], page["ids"][0]]
            return page

    repeating: Any = Repeating(indexed[0], [10, 10])
    report = verify_collection(repeating, embedder)
    assert report.faults[0].kind == "count"
    assert report.faults[0].total == 1


def test_an_enormous_passage_number_costs_no_memory(indexed: Any, embedder: MiniLMEmbedder) -> None:
    collection, ids = indexed
    parsed = PassageId.parse(ids["notes/a"][0])
    assert parsed is not None
    huge = replace(parsed, number=10**15 - 1, count=10**15)
    place = {"source": "notes/a", "start": 0, "end": len(TOPICS[0])}
    row = {"embeddings": list(embedder.encode(TOPICS[:1])), "documents": TOPICS[:1], "metadatas": [place]}
    collection.add(ids=[str(huge)], **row)
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, fault.ids) == ("orphan", (str(huge),))
    collection.delete(ids=ids["notes/a"])
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, fault.total) == ("missing", 10**15 - 1)
    assert fault.ids[0] == str(replace(huge, number=0))
