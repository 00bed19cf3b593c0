"""verify_collection finds each planted fault of vectors, accuses no sound collection, and names remedies that work."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_engine import FakeEngine
from indexed import SOURCES, change_vector, copied, indexed_collection, kinds, only_fault, write_passages
from small_models import SmallModel
from stores import TOPICS, fill, local_client, random_vectors
from typer.testing import CliRunner

from minilm_retrieval import MiniLMEmbedder, open_collection
from minilm_retrieval.cli.main import app
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.maintenance import CHECKS, verify_collection
from minilm_retrieval.store.embedding_function import MiniLMEmbeddingFunction
from minilm_retrieval.store.stored_function import stored_function


@pytest.fixture
def indexed(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> tuple[Any, dict[str, list[str]]]:
    """Five documents of two passages each, with vectors that take no time."""
    return indexed_collection(tmp_path / "chroma", embedder)


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
    assert (report.compared, report.self_hit_queries, report.recall_queries, report.recall) == (11, 11, 11, 1.0)
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
    assert np.isnan(stored).any()
    fault = verify_collection(collection, embedder).faults[0]
    assert (fault.kind, fault.ids, fault.total) == ("not-finite", (ids["notes/d"][0],), 1)


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


def test_many_records_in_pages(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    # Of few directions, as texts' vectors are: among those of all directions an index misses one neighbour in twenty.
    collection = fill(local_client(tmp_path), "many", np.pad(random_vectors(2500, 12), ((0, 0), (0, 372))))
    report = verify_collection(collection, embedder, sample=30)
    assert report.faults == []
    assert (report.records, report.vectors, report.self_hit_queries, report.recall_queries) == (2500, 2500, 30, 30)
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


def reembedded(remedy: str, place: Path) -> int:
    """Run the command that a remedy names."""
    command = re.search("`minilm (reembed [^`]+)`", remedy)
    assert command is not None
    return CliRunner().invoke(app, [*shlex.split(command[1]), "--path", str(place)]).exit_code


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("vector", [np.zeros((1, 384), dtype=np.float32), random_vectors(1)], ids=["zero", "foreign"])
def test_the_remedy_of_a_wrong_vector_works(tmp_path: Path, precision: str, vector: Any) -> None:
    coarse_or_fine = MiniLMEmbedder(precision=precision)
    collection, ids = indexed_collection(tmp_path, coarse_or_fine, name="my-notes")
    collection.update(ids=ids["notes/b"][:1], embeddings=list(vector))
    for embedder in (coarse_or_fine, MiniLMEmbedder()):
        remedy = only_fault(verify_collection(collection, embedder)).remedy
        assert "reembed --force --collection my-notes" in remedy
        assert ("--precision int8" in remedy) == (precision == "int8")
    assert reembedded(remedy, tmp_path) == 0
    after = open_collection("my-notes", path=tmp_path)
    assert verify_collection(after, coarse_or_fine).faults == []
    assert stored_function(after).config["precision"] == precision


def test_the_remedy_names_the_model(tmp_path: Path, small_model: SmallModel) -> None:
    small = MiniLMEmbedder(small_model.write())
    collection, ids = indexed_collection(tmp_path / "chroma", small)
    change_vector(collection, ids["notes/b"][0], np.zeros_like)
    remedy = only_fault(verify_collection(collection, small)).remedy
    assert f"--model {small.model_name}" in remedy
    assert reembedded(remedy, tmp_path / "chroma") == 0
    assert verify_collection(open_collection("docs", path=tmp_path / "chroma"), small).faults == []


@pytest.mark.parametrize(
    "options", [{"sample": 0}, {"sample": "some"}, {"sample": True}, {"seed": -1}, {"k": 0}, {"k": 1.5}]
)
def test_wrong_options(indexed: Any, embedder: MiniLMEmbedder, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError, match=next(iter(options))):
        verify_collection(indexed[0], embedder, **options)
