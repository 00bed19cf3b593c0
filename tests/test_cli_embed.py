"""``minilm embed``: texts from its arguments, a file or standard input."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import called, minilm
from fake_engine import FakeEngine
from typer.testing import CliRunner

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.cli.main import app


def test_embed(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    lines = minilm("embed", "--json", folder=tmp_path, stdin="hello\n\nworld\n").stdout.splitlines()
    parsed = [json.loads(line) for line in lines]
    assert [item["text"] for item in parsed] == ["hello", "", "world"]
    np.testing.assert_allclose(
        [item["embedding"] for item in parsed], embedder.encode(["hello", "", "world"]), atol=1e-6
    )
    assert "(384 numbers)" in minilm("embed", "hello", folder=tmp_path).stdout
    (tmp_path / "lines.txt").write_text("one\ntwo\n")
    assert minilm("embed", "-i", "lines.txt", "-o", "out.npy", folder=tmp_path).returncode == 0
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), embedder.encode(["one", "two"]), atol=1e-6)


@pytest.mark.parametrize("by_name", [True, False], ids=["file", "standard input"])
@pytest.mark.usefixtures("fake_engine")
def test_embed_reads_standard_input_as_it_reads_a_file(by_name: bool, tmp_path: Path) -> None:
    def embedded(content: bytes) -> Any:
        file = tmp_path / "lines.txt"
        file.write_bytes(content)
        given, stdin = (("--input", str(file)), b"") if by_name else ((), content)
        return CliRunner().invoke(app, ["embed", "--json", *given], input=stdin)

    lines = embedded(b"\xef\xbb\xbfone\r\ntwo\rthr\xc3\xa9e\n\nfour").stdout.splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["one", "two", "thr\u00e9e", "", "four"]
    name = tmp_path / "lines.txt" if by_name else "standard input"
    for content in ("caf\u00e9 noir\n".encode("latin-1"), "one\n".encode("utf-16"), "one\n".encode("utf-16-le")):
        refused = embedded(content)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.startswith(f"minilm: {name} cannot be read: expected UTF-8 text")
        assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("output", ["missing/out.npy", "folder.npy"])
def test_embed_says_before_it_embeds_that_a_file_cannot_be_written(
    output: str, fake_engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.npy").mkdir()
    refused = called("embed", "hello", "--output", output)
    assert (refused.exit_code, refused.stdout, fake_engine.rows) == (1, "", 0)
    assert refused.stderr.startswith(f"minilm: {output} cannot be written: ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.usefixtures("fake_engine")
def test_embed_writes_to_a_pipe_what_numpy_writes_to_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.npy"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        told = called("embed", "one", "two", "--output", str(pipe))
        content = reader.read()
    assert (told.exit_code, told.stdout) == (0, "")
    assert told.stderr == f"{pipe}: 2 vectors of 384 float32 numbers.\n"
    vectors = np.load(io.BytesIO(content))
    assert (vectors.shape, vectors.dtype) == ((2, 384), np.float32)
    saved = io.BytesIO()
    np.save(saved, vectors)
    assert content == saved.getvalue()


@pytest.mark.usefixtures("fake_engine")
def test_embed_says_in_json_what_it_has_written(tmp_path: Path) -> None:
    file = tmp_path / "out.npy"
    told = called("embed", "one", "two", "--output", str(file), "--json")
    assert (told.exit_code, told.stderr) == (0, "")
    assert json.loads(told.stdout) == {"texts": 2, "dimension": 384, "files": [str(file)]}
    assert np.load(file).shape == (2, 384)
