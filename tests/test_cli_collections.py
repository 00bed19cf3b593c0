"""`minilm collections` and `minilm verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from indexed import indexed_collection
from stores import TOPICS, chroma_server, fill, local_client, random_vectors
from typer.testing import CliRunner

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.cli.main import app


def minilm(*arguments: str) -> Any:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "120", "TERM": "dumb"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def store(tmp_path: Path, embedder: MiniLMEmbedder) -> str:
    """A database with a collection of this library's and one of another model's."""
    indexed_collection(tmp_path / "chroma", embedder)
    fill(local_client(tmp_path / "chroma"), "random", random_vectors(10), documents=TOPICS)
    return str(tmp_path / "chroma")


def test_list(store: str, embedder: MiniLMEmbedder) -> None:
    result = minilm("collections", "--path", store)
    assert (result.exit_code, result.stderr) == (0, "")
    heading, docs, random = result.stdout.splitlines()
    assert heading.split() == ["name", "records", "dimension", "space", "function", "precision", "fingerprint"]
    fingerprint = embedder.fingerprint[:8]
    assert docs.split() == ["docs", "10", "384", "cosine", "minilm_retrieval", "float32", fingerprint]
    assert random.split() == ["random", "10", "384", "cosine"]


def test_list_json(store: str, embedder: MiniLMEmbedder) -> None:
    docs, random = json.loads(minilm("collections", "--path", store, "--json").stdout)
    assert docs == {
        "name": "docs",
        "count": 10,
        "dimension": 384,
        "space": "cosine",
        "function": "minilm_retrieval",
        "fingerprint": embedder.fingerprint,
        "precision": "float32",
        "error": None,
    }
    assert (random["name"], random["function"]) == ("random", None)


def test_list_of_nothing(tmp_path: Path) -> None:
    local_client(tmp_path)
    assert minilm("collections", "--path", str(tmp_path)).stderr == "There are no collections.\n"
    assert minilm("collections", "--path", str(tmp_path), "--json").stdout == "[]\n"


def test_describe(store: str) -> None:
    result = minilm("collections", "docs", "--path", store)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for line in ("records 10", "truncated 0 texts of more than 256 tokens", "passages 10 from 5 sources", "2 notes/e"):
        assert line in lines
    described = json.loads(minilm("collections", "docs", "--path", store, "--json").stdout)
    assert described["sources"] == {f"notes/{name}": 2 for name in "abcde"}
    assert described["truncated"] == 0
    other = minilm("collections", "random", "--path", store).stdout
    assert "10, not indexed by this library" in other


def test_describe_many_sources(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    indexed_collection(tmp_path, embedder, {f"{number:02}": ["A text."] for number in range(25)})
    lines = minilm("collections", "docs", "--path", str(tmp_path)).stdout.splitlines()
    assert lines[-2].split() == ["1", "19"]
    assert lines[-1].split() == ["and", "5", "more", "sources;", "--json", "lists", "all"]


def test_verify_a_sound_collection(store: str) -> None:
    result = minilm("verify", "--path", store, "--all")
    assert (result.exit_code, result.stderr) == (0, "")
    *checks, end = result.stdout.splitlines()
    assert len(checks) == 12
    assert all(line.startswith("ok ") for line in checks)
    assert "10 compared, lowest cosine 1.0000" in result.stdout
    assert "recall@10 1.000, 10 queries" in result.stdout
    assert end.startswith("'docs': 10 records; faults: none; in ")


def test_verify_computes_as_the_collection_records_it(tmp_path: Path) -> None:
    indexed_collection(tmp_path, MiniLMEmbedder(precision="int8", max_seq_length=64, on_truncate="ignore"))
    assert minilm("verify", "--path", str(tmp_path)).exit_code == 0
    assert minilm("verify", "--path", str(tmp_path), "--precision", "float32").exit_code == 0


def test_describe_says_that_tokens_were_not_counted(tmp_path: Path) -> None:
    fill(local_client(tmp_path), "other", random_vectors(2, dimension=8), documents=TOPICS[:2])
    assert (
        "not counted: the vectors are of another model"
        in minilm("collections", "other", "--path", str(tmp_path)).stdout
    )


def test_verify_says_what_is_wrong(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    collection, ids = indexed_collection(tmp_path, embedder)
    collection.delete(ids=ids["notes/a"][:1])
    collection.update(ids=ids["notes/b"][:1], embeddings=[np.zeros(384, dtype=np.float32)])
    collection.update(ids=ids["notes/c"][:1], embeddings=list(random_vectors(1)))
    result = minilm("verify", "--path", str(tmp_path), "--seed", "7", "--no-sources")
    assert (result.exit_code, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("FAULT")] == [
        "FAULT  not-unit",
        "FAULT  vector",
        "FAULT  missing",
    ]
    assert any(ids["notes/c"][0] in line and "cosine " in line for line in lines)
    assert f"         {ids['notes/a'][0]}" in lines
    assert "faults: 3;" in lines[-1]
    assert "minilm index" in result.stdout
    report = json.loads(minilm("verify", "--path", str(tmp_path), "--json", "--sample", "4").stdout)
    assert report["sound"] is False
    assert [fault["kind"] for fault in report["faults"]][:1] == ["missing"]
    assert report["faults"][0]["ids"] == ids["notes/a"][:1]


def test_verify_says_what_was_not_checked_and_shortens(store: str) -> None:
    result = minilm("verify", "--path", store, "-c", "random")
    assert result.exit_code == 1
    assert "-      fingerprint: none is recorded" in result.stdout
    assert "-      missing: no passage of this library" in result.stdout
    assert "another model" in result.stdout


def test_server(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    with chroma_server(tmp_path) as port:
        place = ("--host", "127.0.0.1", "--port", str(port))
        assert minilm("collections", *place).stderr == "There are no collections.\n"
        assert minilm("verify", *place).exit_code == 1
    assert "No Chroma server answers" in minilm("collections", *place).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("verify", "--sample", "5", "--all"), 2, "either --sample or --all"),
        (("verify", "--sample", "0"), 2, "at least 1"),
        (("verify", "--seed", "-1"), 2, "at least 0"),
        (("verify", "-c", "nope"), 1, "There are: docs, random."),
        (("collections", "nope"), 1, "There are: docs, random."),
        (("collections", "--host", "x"), 2, "either --path or --host"),
    ],
)
def test_mistakes(store: str, arguments: tuple[str, ...], code: int, message: str) -> None:
    result = minilm(*arguments, "--path", store)
    assert message in result.stderr
    assert result.exit_code == code
