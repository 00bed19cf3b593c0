"""``minilm embed``: texts from its arguments, a file or standard input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import minilm
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
