"""Standard output of the commands, where its encoding lacks letters and where it cannot be written; closed streams."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from subprocesses import clean_environment

from minilm_retrieval import MiniLMEmbedder, index_documents, open_collection
from minilm_retrieval.cli.streams import as_json
from minilm_retrieval.errors import DocumentError
from minilm_retrieval.ingest import Document
from minilm_retrieval.ingest.loading.texts import opened_text

TEXT = "Grüße 日本語 👩 text"
FULL = Path("/dev/full")


def minilm(*arguments: str, folder: Path, output: int = subprocess.PIPE, **environment: str) -> tuple[int, bytes, str]:
    result = subprocess.run(
        [sys.executable, "-m", "minilm_retrieval", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        timeout=120,
        env=clean_environment({"COLUMNS": "200", "TERM": "dumb", **environment}),
        check=False,
    )
    return result.returncode, result.stdout, result.stderr.decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, embedder: MiniLMEmbedder) -> Path:
    """A folder with a database in which one text is stored."""
    made = tmp_path_factory.mktemp("output")
    index_documents(open_collection("docs", path=made / "chroma", create=True), [Document("a", TEXT)], embedder)
    return made


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_what_the_encoding_lacks_is_escaped(folder: Path, encoding: str) -> None:
    status, output, errors = minilm("search", "Grüße", folder=folder, PYTHONIOENCODING=encoding)
    assert (status, errors) == (0, "")
    assert TEXT.encode(encoding, "backslashreplace") in output


def test_json_is_json_in_every_encoding(folder: Path) -> None:
    status, output, errors = minilm("search", "Grüße", "--json", folder=folder, PYTHONIOENCODING="latin-1")
    assert (status, errors) == (0, "")
    assert json.loads(output.decode("latin-1"))[0]["document"] == TEXT
    status, output, errors = minilm("search", "Grüße", "--json", folder=folder)
    assert TEXT.encode() in output


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "latin-1", "ascii", "cp1252"])
def test_only_utf_8_is_given_letters_as_they_are(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    line = as_json({"text": TEXT})
    assert json.loads(line) == {"text": TEXT}
    assert (TEXT in line) == encoding.lower().startswith("utf")
    assert line.isascii() != encoding.lower().startswith("utf")


def test_help_in_ascii(folder: Path) -> None:
    status, output, errors = minilm("--help", folder=folder, PYTHONIOENCODING="ascii:strict", COLUMNS="20")
    assert (status, errors) == (0, "")
    assert b"Usage" in output


def test_half_a_character_can_be_printed(folder: Path) -> None:
    # As Python has it where the language is that of POSIX: the byte as it came.
    for encoding in ("utf-8", "utf-8:surrogateescape"):
        status, output, errors = minilm("embed", "caf\udce9", "--json", folder=folder, PYTHONIOENCODING=encoding)
        assert (status, errors) == (0, "")
        assert json.loads(output.decode())["text"] == "caf\udce9"


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", ["embed a --json", "search a", "--help", "--version"])
def test_output_that_cannot_be_written_is_told_once(folder: Path, arguments: str) -> None:
    with FULL.open("wb") as full:
        # Without a buffer where that is cheap to try.
        unbuffered = "1" if arguments == "--help" else ""
        status, _, errors = minilm(*arguments.split(), folder=folder, output=full.fileno(), PYTHONUNBUFFERED=unbuffered)
    assert (status, errors) == (1, "minilm: standard output cannot be written: No space left on device\n")


def test_a_reader_who_has_left_gets_no_message(folder: Path) -> None:
    command = [sys.executable, "-m", "minilm_retrieval", "--help"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment({"TERM": "dumb"})
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.skipif(os.name == "nt", reason="there is no sh")
@pytest.mark.parametrize(
    ("closed", "code", "arguments", "output"),
    [
        ("2>&-", 0, ["embed", "word " * 400], b"word word"),
        ("2>&-", 1, ["embed", "a", "--output", "missing/a.npy"], b""),
        ("2>&-", 2, ["embed", "a", "--input", "b"], b""),
        ("<&- 2>&- >&-", 0, ["embed", "a"], b""),
    ],
)
def test_closed_streams_are_silent(closed: str, code: int, arguments: list[str], output: bytes, folder: Path) -> None:
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "minilm_retrieval", *arguments]
    result = subprocess.run(
        command, cwd=folder, capture_output=True, timeout=120, env=clean_environment({}), check=False
    )
    assert (result.returncode, result.stderr) == (code, b"")
    assert result.stdout.startswith(output)
    assert bool(result.stdout) == bool(output)


@pytest.mark.skipif(os.name == "nt", reason="there is no sh")
def test_no_file_takes_the_number_of_a_closed_stream(folder: Path) -> None:
    script = """if True:
        import os
        from minilm_retrieval.cli.streams import prepare_output
        prepare_output()
        print(os.open("file", os.O_CREAT | os.O_WRONLY) > 2)
        os.write(2, b"a fault that a library in C tells")
    """
    command = ["sh", "-c", 'exec "$@" <&- 2>&-', "sh", sys.executable, "-c", script]
    result = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, env=clean_environment({}), check=True)
    assert result.stdout == b"True\n"
    assert (folder / "file").read_bytes() == b""


def test_standard_input_that_is_closed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(DocumentError, match="-: standard input is closed; give a file"), opened_text("-", None):
        pass
