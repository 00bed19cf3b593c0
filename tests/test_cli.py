"""The commands as a shell user runs them: in processes of their own, or in this one where that would show no more."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from commands import CHROMA, called, minilm, topic_files
from stores import TOPICS, chroma_server

from minilm_retrieval import MiniLMEmbedder, __version__
from minilm_retrieval.cli.index import _stopped_gently

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return topic_files(tmp_path)


@pytest.fixture
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, as the present directory of this process."""
    monkeypatch.chdir(folder)
    return folder


def test_index_and_search(folder: Path) -> None:
    first = minilm("index", "texts", folder=folder)
    assert (first.returncode, first.stderr) == (0, "")
    assert "10 added, 0 updated, 0 unchanged." in first.stdout
    assert "10 written" in first.stdout
    assert "Time, partly side by side: " in first.stdout
    (folder / "texts" / "0.txt").write_text("A dog barked.")
    assert "0 added, 1 updated, 9 unchanged." in minilm("index", "texts", folder=folder).stdout
    found = minilm("search", "rover on the red planet", "-k", "1", folder=folder)
    assert (found.returncode, found.stderr) == (0, "")
    assert str((folder / "texts" / "8.txt").resolve()) in found.stdout
    assert "entered orbit around Mars" in found.stdout


def test_json_output(folder: Path, embedder: MiniLMEmbedder) -> None:
    report = json.loads(minilm("index", "texts", "--collection", "notes", "--json", folder=folder).stdout)
    assert (report["added"], report["passages_stored"], report["failed"]) == (10, 10, [])
    arguments = ("search", "cooking", "-c", "notes", "-k", "2", "--json", "--where-document", '{"$contains": "bread"}')
    (hit,) = json.loads(minilm(*arguments, folder=folder).stdout)
    assert hit["document"] == TOPICS[7]
    assert hit["score"] == pytest.approx(float(embedder.encode("cooking") @ embedder.encode(TOPICS[7])), abs=1e-5)
    assert hit["metadata"]["start"] == 0


def test_nothing_found_says_so(inside: Path) -> None:
    called("index", "texts", *CHROMA)
    result = called("search", "anything", "--min-score", "0.99", *CHROMA)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "Nothing found.\n")
    assert called("search", "anything", "--min-score", "0.99", "--json", *CHROMA).stdout == "[]\n"


@pytest.mark.parametrize(
    ("option", "filter", "message"),
    [
        ("--where", '{"a": {"$no": 1}}', "refused the filter"),
        ("--where-document", '{"$no": "a"}', "refused the filter"),
        ("--where", '{"a"', "must be JSON"),
    ],
)
def test_a_wrong_filter_is_a_wrong_option(inside: Path, option: str, filter: str, message: str) -> None:
    called("index", "texts/0.txt", *CHROMA)
    result = called("search", "x", option, filter, *CHROMA)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_signs_that_a_terminal_obeys_are_not_printed(inside: Path) -> None:
    (inside / "texts" / "0.txt").write_text("A cat\x1b[2J\tand\x9b31m\x07 a dog.\r\n\x1b]0;title\x07End.")
    (inside / "texts" / "0.txt").rename(inside / "texts" / "\x1b[1m.txt")
    called("index", "texts/\x1b[1m.txt", *CHROMA)
    for arguments in (("search", "cat"), ("collections", "docs"), ("embed", "A cat\x1b[2J")):
        shown = called(*arguments, *(() if arguments[0] == "embed" else CHROMA)).stdout
        assert "[2J" in shown or "[1m.txt" in shown
        assert not set(shown) & set(map(chr, (*range(9), *range(11, 32), *range(127, 160))))
    shown = called("search", "cat", *CHROMA).stdout
    assert "    A cat [2J" in shown
    assert "\n     ]0;title End.\n" in shown
    assert "\x1b" in json.loads(called("search", "cat", "--json", *CHROMA).stdout)[0]["document"]


def test_partly_failed_index_has_exit_code_1(folder: Path) -> None:
    (folder / "texts" / "bad.jsonl").write_text('{"text": "fine", "source": {"a": 1}}\nbroken\n')
    (folder / "texts" / "film.txt").write_bytes(b"\xff\x00")
    (folder / "texts" / "a.png").write_bytes(b"\xff\x00")
    result = minilm("index", "texts", "missing.txt", folder=folder)
    assert result.returncode == 1
    assert "11 added" in result.stdout
    assert "2 failed" in result.stdout
    assert "bad.jsonl: line 2 is not JSON" in result.stderr
    assert "missing.txt: no such file or folder" in result.stderr
    assert "minilm: passed over 1 file: is binary" in result.stderr
    assert "minilm: metadata of 1 document: 'source' stored as 'source_'\n" in result.stderr


def test_paths_that_are_not_there_leave_nothing_behind(inside: Path) -> None:
    arguments = ("index", "missing.txt", "nowhere/*.md", "texts/*.pdf")
    result = called(*arguments, *CHROMA)
    assert result.exit_code == 1
    assert "missing.txt: no such file or folder" in result.stderr
    assert "3 failed" in result.stdout
    assert "'docs' was not made." in result.stdout
    report = json.loads(called(*arguments, "--json", *CHROMA).stdout)
    assert (len(report["failed"]), report["passages_stored"], report["collection"]) == (3, None, "docs")
    assert not (inside / "chroma").exists()
    (inside / "vacant").mkdir()
    assert called("index", "missing.txt", "vacant", *CHROMA).exit_code == 1
    assert "'docs' now holds 0." in called(*arguments, *CHROMA).stdout
    assert called(*arguments, "-c", "other", *CHROMA).exit_code == 1
    assert [one["name"] for one in json.loads(called("collections", "--json", *CHROMA).stdout)] == ["docs"]


def test_index_takes_up_deletions_and_chooses_files(inside: Path) -> None:
    (inside / "other").mkdir()
    (inside / "other" / "code.py").write_text("print('hello')")
    called("index", "texts", "other/code.py", *CHROMA)
    (inside / "texts" / "0.txt").unlink()
    (inside / "texts" / "1.txt").write_bytes("Déjà vu".encode("cp1252"))
    arguments = ("index", "texts", "--exclude", "9.txt", "--encoding", "cp1252", "--prune", "--json")
    report = json.loads(called(*arguments, *CHROMA).stdout)
    assert (report["updated"], report["unchanged"], report["deleted"]) == (1, 7, 1)
    assert report["passages_stored"] == 10
    arguments = ("index", ".", "--include", "*.py", "--passage-overlap", "8", "--json")
    report = json.loads(called(*arguments, *CHROMA).stdout)
    assert (report["updated"], report["passages_reused"]) == (1, 1)
    assert report["stage_seconds"]["writing"] > 0
    told = called("index", "texts/*.txt", "--no-gitignore", *CHROMA)
    assert "0 added, 1 updated, 8 unchanged" in told.stdout
    assert "from now on 256 and 0" in told.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_index_leaves_an_ignored_signal_ignored(name: str) -> None:
    number = signal.Signals[name]
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with _stopped_gently():
            assert signal.getsignal(number) is signal.SIG_IGN
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_doctor(folder: Path) -> None:
    facts = json.loads(minilm("doctor", "--json", folder=folder, MINILM_THREADS="1").stdout)
    assert facts["threads"] == {
        "count": 1,
        "reason": "set by MINILM_THREADS",
        "streams": "one batch at a time",
    }
    assert facts["model"]["fingerprint"] == MiniLMEmbedder().fingerprint
    assert set(facts["extras"]) == {"chroma", "langchain", "llama-index", "files", "parquet", "server", "torch"}
    shown = minilm("doctor", folder=folder)
    assert shown.returncode == 0
    for word in ("OpenVINO", "threads", "installed package", "chroma: ", "sqlite"):
        assert word in shown.stdout


def test_doctor_without_a_working_model(folder: Path) -> None:
    result = minilm("doctor", "--model", "no/such-model", folder=folder, HF_HUB_OFFLINE="1", HF_HOME=str(folder))
    assert result.returncode == 1
    assert "not on this machine" in result.stdout


def test_version(folder: Path) -> None:
    assert minilm("--version", folder=folder).stdout == f"minilm-retrieval {__version__}\n"


def test_server(folder: Path) -> None:
    with chroma_server(folder / "server") as port:
        place = ("--host", "127.0.0.1", "--port", str(port), "--header", "X-Test: yes")
        assert minilm("index", "texts", *place, folder=folder).returncode == 0
        assert "Mars" in minilm("search", "red planet", "-k", "1", *place, folder=folder).stdout
    assert not (folder / "chroma").exists()


def test_the_recorded_precision_is_taken_and_another_is_said_in_one_line(inside: Path) -> None:
    assert called("index", "texts", "--precision", "int8", *CHROMA).stderr == ""
    (inside / "texts" / "0.txt").write_text("A dog barked.")
    assert called("index", "texts", *CHROMA).stderr == ""
    assert called("search", "rover", *CHROMA).stderr == ""
    other = called("search", "rover on the red planet", "-k", "1", "--precision", "float32", *CHROMA)
    assert other.exit_code == 0
    assert other.stderr.splitlines() == [
        "minilm: The collection 'docs' was embedded in int8, and this embedder computes in float32. That works: it is "
        "the same model, and scores differ by the rounding of the coarser of the two."
    ]
    assert "8.txt" in other.stdout


@pytest.mark.usefixtures("fake_engine")
def test_a_text_that_is_cut_is_told_without_advice_for_python() -> None:
    assert called("embed", "word " * 400).stderr == (
        "minilm: 1 text is longer than the model's 256 tokens, at position 0 (402 tokens). Only their beginnings were "
        "embedded. Shorten or split them.\n"
    )


def test_remove(inside: Path) -> None:
    called("index", "texts", *CHROMA)
    (inside / "texts" / "0.txt").unlink()
    result = called("remove", "texts/0.txt", str(inside.resolve() / "texts" / "1.txt"), *CHROMA)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "'docs': 2 documents of 2 passages removed.\n"
    assert json.loads(called("remove", "texts", "--json", *CHROMA).stdout) == {
        "deleted": 8,
        "passages_deleted": 8,
    }
    assert called("remove", "texts", "--collection", "none", *CHROMA).exit_code == 1
