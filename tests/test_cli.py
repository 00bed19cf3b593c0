"""The commands as a shell user runs them: in processes of their own, or in this one where that would show no more."""

from __future__ import annotations

import json
import re
import signal
import warnings
from pathlib import Path
from typing import Any

import pytest
from commands import CHROMA, called, minilm
from stores import TOPICS, chroma_server, fill, local_client, random_vectors
from subprocesses import run_python

from minilm_retrieval import MiniLMEmbedder, __version__
from minilm_retrieval.cli.index import _stopped_gently

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "texts").mkdir()
    for number, text in enumerate(TOPICS):
        (tmp_path / "texts" / f"{number}.txt").write_text(text)
    return tmp_path


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


MISTAKES = [
    (("search", "x"), 1, "chroma holds no Chroma database"),
    (("search", "x", "--path", "{folder}/store", "-c", "nope"), 1, "There are: random. minilm index makes it."),
    (("search", "x", "--path", "{folder}/store", "-c", "random"), 1, "embedded by another model"),
    (("search", "x", "--path", "a", "--host", "b"), 2, "either --path or --host"),
    (("search", "x", "--port", "5"), 2, "go with --host"),
    (("search", "x", "--host", "h", "--header", "nonsense"), 2, "'Name: value'"),
    (("search", "x", "--path", "{folder}/store", "-c", "random", "--where", "{"), 1, "another model"),
    (("index", "texts", "-c", "a"), 2, "3-512 characters"),
    (("index", "texts", "--passage-tokens", "5000"), 2, "8 to 256 tokens, got 5000"),
    (("index", "texts", "--passage-overlap", "200"), 2, "0 to 128 tokens, half of a passage of 256; got 200"),
    (("index", "texts", "--metadata", "keep"), 2, "expected one of convert, drop, error"),
    (("index", "texts", "--encoding", "latin-9000"), 2, "latin-9000"),
    (("index", "texts", "--threads", "0"), 2, "at least 1"),
    (("index", "texts", "--model", "no/such-model"), 1, "Ways to get it"),
    (("embed", "x", "--input", "y"), 2, "not both"),
    (("embed", "--input", "missing.txt"), 1, "cannot be read"),
    (("embed", "x", "-o", "x.txt"), 2, "must end in .npy"),
    (("embed", "x", "-o", "missing/x.npy"), 1, "cannot be written"),
    (("index",), 2, "Missing argument"),
    (("nonsense",), 2, "No such command"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES, ids=[" ".join(case[0]) for case in MISTAKES])
def test_mistakes_get_a_message(inside: Path, unused_cache: Path, arguments: Any, code: int, message: str) -> None:
    if "random" in arguments or "nope" in arguments:
        fill(local_client(inside / "store"), "random", random_vectors(10), documents=TOPICS)
    result = called(*arguments)
    assert message in result.stderr.replace("\n", " ")
    assert result.exit_code == code


@pytest.mark.parametrize(
    "arguments",
    [
        "index texts --path EMPTY",
        "index texts --include *.md --include EMPTY",
        "search x -c EMPTY",
        "search x --host h --tenant EMPTY",
        "search x --precision EMPTY",
        "embed x --output EMPTY",
        "embed --input EMPTY",
        "map texts.txt --cluster EMPTY",
        "compact --collection EMPTY",
        "eval sts pairs.tsv --against EMPTY",
        "eval retrieval judged --split EMPTY",
        "serve --open-to-all --host EMPTY",
    ],
)
def test_an_empty_option_is_not_taken_for_one_left_out(arguments: str, inside: Path) -> None:
    result = called(*("" if argument == "EMPTY" else argument for argument in arguments.split()))
    assert (result.exit_code, result.stdout) == (2, "")
    option = arguments.split()[-2]
    assert re.search(rf"Invalid value for .*'{option}'.*: it is empty. Give a value", result.stderr)
    assert not (inside / "chroma").exists()


@pytest.mark.usefixtures("fake_engine")
def test_a_text_may_be_empty() -> None:
    assert "(384 numbers)" in called("embed", "").stdout


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("typer", "--version"),
        ("minilm_retrieval.maintenance", "collections"),
        ("minilm_retrieval.evaluation", "eval sts a"),
    ],
)
def test_ctrl_c_while_modules_load_gets_no_traceback(module: str, arguments: str) -> None:
    script = """
        import io, sys
        module, *sys.argv[1:] = sys.argv[1:]
        class Interrupting:
            def find_spec(self, name, path=None, target=None):
                if name == module:
                    raise KeyboardInterrupt
        sys.meta_path.insert(0, Interrupting())
        sys.stderr = io.StringIO()
        from minilm_retrieval.__main__ import run
        try:
            run()
        except SystemExit as end:
            print(end.code, sys.stderr.getvalue())
    """
    assert run_python(script, module, *arguments.split()).strip() == "130 minilm: interrupted"


def test_the_script_is_the_module() -> None:
    assert 'minilm = "minilm_retrieval.__main__:run"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.usefixtures("fake_engine")
def test_a_warning_that_is_an_error_gets_no_traceback() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = called("embed", "word " * 400)
    assert result.exit_code == 1
    assert result.stderr.startswith("minilm: 1 text is longer than the model's 256 tokens")
    assert result.stderr.endswith("Shorten or split them.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"), [MISTAKES[0], MISTAKES[3]], ids=["refused", "not understood"]
)
def test_mistakes_get_no_traceback(folder: Path, arguments: Any, code: int, message: str) -> None:
    result = minilm(*arguments, folder=folder)
    assert message in result.stderr.replace("\n", " ")
    assert result.returncode == code
    assert "Traceback" not in result.stderr + result.stdout


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
