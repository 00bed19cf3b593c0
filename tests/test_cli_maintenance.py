from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stores import TOPICS, fill, local_client, random_vectors
from typer.testing import CliRunner

from minilm_retrieval.cli.main import app
from minilm_retrieval.store import open_collection
from minilm_retrieval.store.collection import space_of
from minilm_retrieval.store.stored_function import stored_function


@pytest.fixture
def store(tmp_path: Path) -> Path:
    fill(local_client(tmp_path / "chroma"), "docs", random_vectors(10, 16), documents=TOPICS)
    return tmp_path / "chroma"


def minilm(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_reembed(store: Path, embedder: Any) -> None:
    result = minilm("reembed", "--path", store, "--space", "ip", "--keep", "--precision", "int8")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("'docs': 10 records embedded in ")
    collection = open_collection("docs", path=store)
    assert (space_of(collection), stored_function(collection).config["precision"]) == ("ip", "int8")
    assert open_collection("docs.before", path=store).count() == 10
    again = minilm("reembed", "--path", store, "--precision", "int8")
    assert again.stdout == "'docs': 10 records, of this model, precision and space already; --force embeds them anew.\n"
    forced = minilm("reembed", "--path", store, "--precision", "int8", "--force", "--json")
    report = json.loads(forced.stdout)
    assert (report["collection"], report["embedded"], report["up_to_date"]) == ("docs", 10, False)
    kept = minilm("reembed", "--path", store, "--precision", "float32", "--keep")
    assert (kept.exit_code, "docs.before" in kept.stderr) == (2, True)


def test_reembed_says_what_is_cut(store: Path, fake_engine: Any) -> None:
    open_collection("docs", path=store).update(
        ids=["id-00003"], embeddings=random_vectors(1, 16), documents=["a " * 300]
    )
    result = minilm("reembed", "--path", store)
    assert "1 text is longer" in result.stderr.replace("\n", " ")
    assert "Texts longer than the model reads: 1; only their beginnings were embedded." in result.stdout


def test_compact(store: Path) -> None:
    fill(local_client(store), "more", random_vectors(5, 16))
    result = minilm("compact", "--path", store)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[:2] == [
        "'docs': index of 10 records rebuilt.",
        "'more': index of 5 records rebuilt.",
    ]
    assert " MB before, " in result.stdout
    one = json.loads(minilm("compact", "--path", store, "-c", "more", "--json").stdout)
    assert one["collections"] == {"more": 5}
    assert one["bytes_after"] > 0


def test_export_and_import(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "docs.parquet"
    exported = minilm("export", file, "--path", store)
    assert exported.stdout == f"{file}: 10 records of 'docs'.\n"
    assert json.loads(minilm("export", file, "--path", store, "--json").stdout)["records"] == 10
    imported = minilm("import", file, "--path", tmp_path / "new")
    assert imported.stdout.startswith("new collection 'docs': 10 records written, 0 unchanged, in ")
    again = json.loads(minilm("import", file, "--path", tmp_path / "new", "--json").stdout)
    assert (again["written"], again["unchanged"], again["created"]) == (0, 10, False)
    minilm("import", file, "--path", store, "--collection", "copy")
    assert open_collection("copy", path=store).count() == 10
    documents = open_collection("docs", path=tmp_path / "new").get(include=["documents"])["documents"]
    assert documents == TOPICS


MISTAKES: list[tuple[tuple[str, ...], int, str]] = [
    (("reembed", "-c", "nope"), 1, "There are: docs"),
    (("reembed", "--space", "euclid"), 2, "expected one of cosine, l2, ip"),
    (("compact", "-c", "nope"), 1, "There are: docs"),
    (("export", "{tmp}/no/file", "-c", "docs"), 1, "cannot be written"),
    (("export", "{tmp}/f", "-c", "nope"), 1, "There are: docs"),
    (("import", "{tmp}/missing.parquet"), 1, "cannot be read"),
    (("import", "{tmp}/f", "--space", "x"), 2, "expected one of"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES, ids=[" ".join(case[0]) for case in MISTAKES])
def test_mistakes(store: Path, tmp_path: Path, arguments: Any, code: int, message: str) -> None:
    result = minilm(*(part.format(tmp=tmp_path) for part in arguments), "--path", store)
    assert message in result.stderr.replace("\n", " ")
    assert result.exit_code == code


def test_commands_of_a_terminal(store: Path, tmp_path: Path) -> None:
    """In a process of their own, as a user runs them."""
    for arguments in (["export", "f.parquet"], ["import", "f.parquet", "-c", "other"], ["compact"]):
        command = [sys.executable, "-m", "minilm_retrieval", *arguments, "--path", str(store)]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (0, "")
    assert open_collection("other", path=store).count() == 10


def test_one_collection_that_cannot_be_compacted_does_not_stop_the_others(store: Path) -> None:
    result = minilm("compact", "--path", store, "-c", "nope", "-c", "docs")
    assert result.exit_code == 1
    assert result.stderr.startswith("minilm: 'nope' is as it was. No collection 'nope' here.")
    assert result.stdout.startswith("'docs': index of 10 records rebuilt.")
    failed = minilm("compact", "--path", store, "-c", "nope", "--json")
    assert (failed.exit_code, list(json.loads(failed.stdout)["failed"])) == (1, ["nope"])


def test_a_file_that_cannot_be_read_makes_no_database(tmp_path: Path) -> None:
    assert minilm("import", tmp_path / "missing.parquet", "--path", tmp_path / "new").exit_code == 1
    assert not (tmp_path / "new").exists()
