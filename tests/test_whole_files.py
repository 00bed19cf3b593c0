"""Files that take the place of others only when they are whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from minilm_retrieval.cli.main import app
from minilm_retrieval.whole_files import whole_file

OLD = b"the old one"


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    with whole_file(file) as unfinished:
        unfinished.write_bytes(OLD)
        assert not file.exists()
    file.chmod(0o600)
    link.symlink_to(file)
    with whole_file(link) as unfinished:
        unfinished.write_bytes(b"new")
        assert file.read_bytes() == OLD
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o600)
    assert link.is_symlink()
    assert set(tmp_path.iterdir()) == {file, link}


def break_off(file: Path, error: type[BaseException]) -> None:
    with whole_file(file) as unfinished:
        unfinished.write_bytes(b"half of")
        raise error


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_everything_as_it_was(error: type[BaseException], tmp_path: Path) -> None:
    for content in ([], [OLD]):
        for old in content:
            (tmp_path / "file").write_bytes(old)
        with pytest.raises(error):
            break_off(tmp_path / "file", error)
        assert [path.read_bytes() for path in tmp_path.iterdir()] == content


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="there is no /dev/null")
def test_what_is_no_regular_file_is_written_itself(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    with whole_file(link) as path:
        assert path == Path("/dev/null")
    assert link.resolve() == Path("/dev/null")


@contextmanager
def full_disk(most: int) -> Iterator[None]:
    """Let no file of this process grow above so many bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("fake_engine")
@pytest.mark.parametrize(
    "arguments",
    [
        "embed --input texts.txt --output out.npy",
        "map texts.txt --output out.html",
        "map texts.txt --output out.png",
        "cluster texts.txt --output out.csv",
        "duplicates texts.txt --threshold -1 --output out.jsonl",
        "similarity --file texts.txt --output out.csv",
        "similarity --file texts.txt --output out.npy",
        "similarity --file texts.txt --heatmap out.svg",
    ],
)
def test_a_full_disk_leaves_the_old_file(arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("".join(f"text {number}\n" for number in range(30)))
    file = tmp_path / arguments.split()[-1]
    file.write_bytes(OLD)
    with full_disk(500):
        result = CliRunner().invoke(app, arguments.split())
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith(f"minilm: {file.name} cannot be written: ")
    assert result.stderr.count("\n") == 1
    assert file.read_bytes() == OLD
    assert {path.name for path in tmp_path.iterdir()} == {"texts.txt", file.name}
