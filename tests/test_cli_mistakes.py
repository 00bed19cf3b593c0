"""What commands say of a mistake, an empty option or an interruption: a message and an exit code, no traceback."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
from commands import called, minilm, topic_files
from stores import TOPICS, fill, local_client, random_vectors
from subprocesses import run_python

ROOT = Path(__file__).parents[1]


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with texts, as the present directory of this process."""
    monkeypatch.chdir(topic_files(tmp_path))
    return tmp_path


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
def test_mistakes_get_no_traceback(inside: Path, arguments: Any, code: int, message: str) -> None:
    result = minilm(*arguments, folder=inside)
    assert message in result.stderr.replace("\n", " ")
    assert result.returncode == code
    assert "Traceback" not in result.stderr + result.stdout
