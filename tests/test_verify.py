"""verify_collection finds each planted fault, and accuses no sound collection."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
from fake_engine import FakeEngine
from indexed import SOURCES, indexed_collection, write_passages
from small_models import SmallModel
from stores import TOPICS, chroma_server, fill, local_client, random_vectors

from minilm_retrieval import MiniLMEmbedder, open_collection
from minilm_retrieval.errors import InvalidOptionError, StoreError
from minilm_retrieval.ingest.passage_ids import PassageId
from minilm_retrieval.maintenance import CHECKS, Fault, VerifyReport, verify_collection
from minilm_retrieval.store.embedding_function import MiniLMEmbeddingFunction


def kinds(report: VerifyReport) -> list[str]:
    return [fault.kind for fault in report.faults]


def only_fault(report: VerifyReport) -> Fault:
    assert len(report.faults) == 1, report.faults
    assert not report.sound
    return report.faults[0]


@pytest.fixture
def indexed(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> tuple[Any, dict[str, list[str]]]:
    """Five documents of two passages each, with vectors that take no time."""
    return indexed_collection(tmp_path / "chroma", embedder)


def change_vector(collection: Any, id: str, change: Callable[[Any], Any]) -> None:
    stored = np.asarray(collection.get(ids=[id], include=["embeddings"])["embeddings"][0], dtype=np.float32)
    collection.update(ids=[id], embeddings=[change(stored).astype(np.float32)])


def copied(source: Path, target: Path, name: str = "docs") -> tuple[Path, str]:
    """Copy a database to where no client has it open; return the place and the folder of a collection's index."""
    shutil.copytree(source, target)
    with sqlite3.connect(target / "chroma.sqlite3") as database:
        query = "select s.id from segments s join collections c on s.collection = c.id where s.scope = 'VECTOR'"
        (segment,) = database.execute(f"{query} and c.name = ?", (name,)).fetchone()
    return target, segment


@pytest.mark.parametrize("space", ["cosine", "l2", "ip"])
def test_a_sound_collection_has_no_fault(tmp_path: Path, embedder: MiniLMEmbedder, space: str) -> None:
    sources = {**SOURCES, "long": ["word " * 400]}
    collection, _ = indexed_collection(tmp_path, embedder, sources, space=space)
    before = collection.get(include=["embeddings", "documents", "metadatas"])
    report = verify_collection(collection, embedder)
    assert report.faults == []
    assert report.sound
    assert report.skipped == {}
    assert (report.count, report.records, report.passages, report.vectors) == (11, 11, 11, 11)
    assert (report.compared, report.looked_for, report.recall_queries, report.recall) == (11, 11, 11, 1.0)
    assert report.lowest_cosine == pytest.approx(1.0, abs=1e-5)
    after = collection.get(include=["embeddings", "documents", "metadatas"])
    assert np.array_equal(before.pop("embeddings"), after.pop("embeddings"))
    assert before == after


def test_an_empty_collection_is_sound(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> None:
    report = verify_collection(indexed_collection(tmp_path, embedder, {})[0], embedder)
    assert report.faults == []
    assert set(report.skipped) == set(CHECKS) - {"count", "fingerprint", "index"}


def test_default_embedder(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    assert verify_collection(indexed_collection(tmp_path, embedder)[0]).sound


def test_zeroed_vector(indexed: Any, embedder: MiniLMEmbedder) -> None:
    collection, ids = indexed
    change_vector(collection, ids["notes/c"][1], np.zeros_like)
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, fault.ids, fault.total) == ("not-unit", (ids["notes/c"][1],), 1)
    assert "zero" in fault.message
    assert "minilm reembed" in fault.remedy


def test_vector_of_another_length(indexed: Any, embedder: MiniLMEmbedder) -> None:
    collection, ids = indexed
    change_vector(collection, ids["notes/a"][0], lambda vector: vector * 1.5)
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, fault.ids) == ("not-unit", (ids["notes/a"][0],))
    assert "1 of 10" in fault.message
    assert "1.5" in fault.message


def test_vector_that_is_not_finite(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> None:
    # Chroma refuses NaN, and makes it of a vector whose length overflows.
    collection, ids = indexed_collection(tmp_path, embedder)
    change_vector(collection, ids["notes/d"][0], lambda vector: vector * 1e30)
    stored = np.asarray(collection.get(ids=ids["notes/d"][:1], include=["embeddings"])["embeddings"])
    fault = verify_collection(collection, embedder).faults[0]
    assert (fault.kind, fault.ids) == (
        ("not-unit" if np.isfinite(stored).all() else "not-finite"),
        (ids["notes/d"][0],),
    )


def test_vector_of_another_model(indexed: Any, embedder: MiniLMEmbedder) -> None:
    collection, ids = indexed
    wrong = [ids["notes/b"][0], ids["notes/e"][1]]
    collection.update(ids=wrong, embeddings=list(random_vectors(2)))
    report = verify_collection(collection, embedder)
    fault = only_fault(report)
    assert fault.kind == "vector"
    assert set(fault.ids) == set(wrong)
    assert fault.total == 2
    assert "2 of 10" in fault.message
    assert list(fault.cosines) == sorted(fault.cosines)
    assert all(-0.3 < cosine < 0.3 for cosine in fault.cosines)
    assert report.lowest_cosine == pytest.approx(fault.cosines[0], abs=1e-4)


def test_text_changed_without_its_vector(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    collection, ids = indexed_collection(tmp_path, embedder)
    changed = TOPICS[0].replace("cat", "dog")
    assert len(changed) == len(TOPICS[0])
    collection.update(ids=[ids["notes/a"][0]], embeddings=list(embedder.encode(TOPICS[:1])), documents=[changed])
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, fault.ids) == ("vector", (ids["notes/a"][0],))


def test_whole_collection_of_another_model(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> None:
    collection = fill(local_client(tmp_path), "other", random_vectors(10), documents=TOPICS)
    fault = only_fault(verify_collection(collection, embedder))
    assert fault.kind == "vector"
    assert "another model" in fault.message
    assert "--model" in fault.remedy


def test_dimension_of_another_model(tmp_path: Path, embedder: MiniLMEmbedder, small_model: SmallModel) -> None:
    small = MiniLMEmbedder(small_model.write())
    collection, _ = indexed_collection(tmp_path / "chroma", small)
    assert verify_collection(collection, small).sound
    report = verify_collection(collection, embedder)
    assert kinds(report) == ["fingerprint", "dimension"]
    assert "32 numbers" in report.faults[1].message
    assert "another dimension" in report.skipped["vector"]
    assert report.recall == 1.0


def test_wrong_fingerprint(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> None:
    function = MiniLMEmbeddingFunction.of(embedder)
    function._config["fingerprint"] = "0" * 32
    client = local_client(tmp_path)
    collection = client.create_collection("docs", embedding_function=function)
    write_passages(collection, "a", TOPICS[:2], embedder)
    fault = only_fault(verify_collection(open_collection("docs", client=client), embedder))
    assert fault.kind == "fingerprint"
    assert "0" * 32 in fault.message
    assert embedder.fingerprint in fault.message


def test_unknown_key_in_the_recorded_function(tmp_path: Path, indexed: Any, embedder: MiniLMEmbedder) -> None:
    place, _ = copied(tmp_path / "chroma", tmp_path / "copy")
    with sqlite3.connect(place / "chroma.sqlite3") as database:
        (schema,) = database.execute("select schema_str from collections").fetchone()
        database.execute("update collections set schema_str = ?", (schema.replace('"on_truncate"', '"import"'),))
    fault = only_fault(verify_collection(open_collection("docs", path=place), embedder))
    assert fault.kind == "fingerprint"
    assert "unknown key 'import'" in fault.message


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
    assert "several whole versions" in fault.message


def test_two_versions_and_none_whole(indexed: Any, embedder: MiniLMEmbedder) -> None:
    collection, ids = indexed
    second = write_passages(collection, "notes/a", TOPICS[2:5], embedder, "second")
    collection.delete(ids=[ids["notes/a"][0], *second[1:]])
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, fault.ids) == ("missing", (ids["notes/a"][0],))
    assert "none of them whole" in fault.message


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
    names = [str(kept), f"{kept}#row 3#x", str(gone), f"{gone}#1", "https://a.org/b", "/nowhere-9/docs/intro", "c.txt"]
    sources = dict(zip(names, [[text] for text in TOPICS], strict=False))
    collection, _ = indexed_collection(tmp_path / "chroma", embedder, sources)
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, set(fault.ids), fault.total) == ("orphan", {str(gone), f"{gone}#1"}, 2)
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


def test_precision_decides_how_near_vectors_must_be(
    tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder
) -> None:
    coarse = MiniLMEmbedder(precision="int8", on_truncate="ignore")
    noise = random_vectors(len(TOPICS)) * 0.1
    for name, recorded, expected in (("fine", embedder, ["vector"]), ("coarse", coarse, [])):
        collection = open_collection(name, path=tmp_path, create=True, embedder=recorded)
        ids = write_passages(collection, "a", TOPICS, embedder)
        near = embedder.encode(TOPICS) + noise
        collection.update(ids=ids, embeddings=list(near / np.linalg.norm(near, axis=1, keepdims=True)))
        report = verify_collection(collection, embedder)
        assert kinds(report) == expected
        assert 0.99 < (report.lowest_cosine or 0) < 0.9999


def test_langchain_layout(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> None:
    metadatas = [{"source": str(tmp_path / "gone.txt"), "start_index": 0} for _ in TOPICS]
    ids = [f"5f0c-{number}" for number in range(len(TOPICS))]
    collection = fill(
        local_client(tmp_path),
        "langchain",
        embedder.encode(TOPICS),
        space="l2",
        documents=TOPICS,
        metadatas=metadatas,
        ids=ids,
    )
    report = verify_collection(collection, embedder)
    assert report.faults == []
    assert (report.passages, report.compared) == (0, 10)
    assert set(report.skipped) == {"fingerprint", "missing", "orphan", "offsets"}


def test_llama_index_nodes(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> None:
    node = json.dumps({"metadata": {"title": "Tea"}, "excluded_embed_metadata_keys": []})
    vectors = embedder.encode([f"title: Tea\n\n{text}" for text in TOPICS])
    metadatas = [{"_node_content": node} for _ in TOPICS]
    collection = fill(local_client(tmp_path), "nodes", vectors, space="l2", documents=TOPICS, metadatas=metadatas)
    assert verify_collection(collection, embedder).faults == []


def test_records_without_text_cannot_be_compared(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    report = verify_collection(fill(local_client(tmp_path), "bare", random_vectors(10)), embedder)
    assert report.faults == []
    assert "has a text" in report.skipped["vector"]


@pytest.mark.parametrize("space", ["cosine", "l2", "ip"])
def test_model_that_does_not_normalise(
    tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder, space: str
) -> None:
    vectors = embedder.encode(TOPICS) * np.linspace(2, 6, len(TOPICS), dtype=np.float32)[:, None]
    collection = fill(local_client(tmp_path), "long", vectors, space=space, documents=TOPICS)
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, fault.total, fault.ids) == ("not-unit", 10, ())
    assert "does not normalise" in fault.message


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


def test_record_that_only_the_index_knows(tmp_path: Path, indexed: Any, embedder: MiniLMEmbedder) -> None:
    gone = indexed[1]["notes/e"]
    place, _ = copied(tmp_path / "chroma", tmp_path / "copy")
    with sqlite3.connect(place / "chroma.sqlite3") as database:
        database.execute("delete from embeddings where embedding_id in (?, ?)", gone)
    fault = only_fault(verify_collection(open_collection("docs", path=place), embedder))
    assert (fault.kind, set(fault.ids)) == ("index", set(gone))
    assert "no longer stored" in fault.message
    assert "minilm compact" in fault.remedy


def test_index_that_loses_neighbours(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    poor = {"space": "cosine", "ef_construction": 2, "ef_search": 1, "max_neighbors": 2}
    collection = local_client(tmp_path).create_collection("poor", embedding_function=None, configuration={"hnsw": poor})
    vectors = random_vectors(2000)
    collection.add(ids=[f"id-{number}" for number in range(2000)], embeddings=list(vectors))
    report = verify_collection(collection, embedder)
    assert report.recall is not None
    assert report.recall < 0.9
    assert "recall" in kinds(report)
    assert "self-hit" in kinds(report)
    assert report.recall_queries == 200
    assert all("minilm compact`, which" in fault.remedy for fault in report.faults)


def test_index_cut_apart_by_equal_vectors(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    vectors = random_vectors(2000)
    vectors[::2] = vectors[0]
    report = verify_collection(fill(local_client(tmp_path), "equal", vectors), embedder)
    assert kinds(report)[0] == "index"
    assert "index does not reach" in report.faults[0].message
    assert all("1000 records have one and the same vector" in fault.remedy for fault in report.faults)


def test_many_records_in_pages(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    collection = fill(local_client(tmp_path), "many", random_vectors(2500))
    report = verify_collection(collection, embedder, sample=30)
    assert report.faults == []
    assert (report.records, report.vectors, report.looked_for, report.recall_queries) == (2500, 2500, 30, 30)
    assert report.recall is not None
    assert report.recall > 0.95
    exact = verify_collection(collection, embedder, sample=30, k=3000)
    assert exact.recall == 1.0


def test_the_seed_decides_the_sample(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> None:
    collection = fill(local_client(tmp_path), "other", random_vectors(10), documents=TOPICS)
    first, again, other = (verify_collection(collection, embedder, sample=3, seed=seed) for seed in (0, 0, 1))
    assert len(first.faults[0].ids) == 3
    assert set(first.faults[0].ids) == set(again.faults[0].ids) != set(other.faults[0].ids)
    for sample in ("all", None, 11):
        assert verify_collection(collection, embedder, sample=sample).compared == 10  # type: ignore[arg-type]


def test_examples_are_few_and_the_worst(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> None:
    texts = [f"{text} {number}" for text in TOPICS for number in range(3)]
    fault = only_fault(
        verify_collection(fill(local_client(tmp_path), "other", random_vectors(30), documents=texts), embedder)
    )
    assert (len(fault.ids), fault.total) == (10, 30)
    every = [float(cosine) for cosine in np.einsum("ij,ij->i", embedder.encode(texts), random_vectors(30))]
    assert list(fault.cosines) == pytest.approx(sorted(every)[:10], abs=1e-3)


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
            if arguments.get("include") == ["documents", "metadatas"] and "limit" in arguments:
                page = {
                    key: value and [*value[:-1], value[0]] for key, value in page.items() if isinstance(value, list)
                }
            return page

    repeating: Any = Repeating(indexed[0], [10, 10])
    report = verify_collection(repeating, embedder)
    assert report.faults[0].kind == "count"
    assert report.faults[0].total == 1


def test_an_enormous_passage_number_costs_no_memory(indexed: Any, embedder: MiniLMEmbedder) -> None:
    collection, ids = indexed
    parsed = PassageId.parse(ids["notes/a"][0])
    assert parsed is not None
    huge = str(replace(parsed, number=10**15 - 1, count=10**15))
    collection.add(ids=[huge], embeddings=list(embedder.encode(TOPICS[:1])), documents=TOPICS[:1])
    fault = only_fault(verify_collection(collection, embedder))
    assert (fault.kind, fault.ids) == ("orphan", (huge,))


@pytest.mark.parametrize(
    "options", [{"sample": 0}, {"sample": "some"}, {"sample": True}, {"seed": -1}, {"k": 0}, {"k": 1.5}]
)
def test_wrong_options(indexed: Any, embedder: MiniLMEmbedder, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError, match=next(iter(options))):
        verify_collection(indexed[0], embedder, **options)


def test_collection_that_was_deleted(tmp_path: Path, indexed: Any, embedder: MiniLMEmbedder) -> None:
    local_client(tmp_path / "chroma").delete_collection("docs")
    with pytest.raises(StoreError, match="docs"):
        verify_collection(indexed[0], embedder)


def test_server_that_went_away(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> None:
    with chroma_server(tmp_path) as port:
        collection = open_collection("docs", host="127.0.0.1", port=port, create=True, embedder=embedder)
        write_passages(collection, str(tmp_path / "gone.txt"), TOPICS, embedder)
        assert verify_collection(collection, embedder).sound
    with pytest.raises(StoreError):
        verify_collection(collection, embedder)
