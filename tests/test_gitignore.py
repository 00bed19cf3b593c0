"""Files that .gitignore leaves out."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import fill, ignore, load, read

from minilm_retrieval.ingest import Document, Failure


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return (tmp_path / "tree").resolve()


@pytest.fixture
def git() -> Iterator[None]:
    """Git, without the settings of whoever runs the tests."""
    try:
        subprocess.run(["git", "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("git is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        yield


def test_ignored_files_are_left_out_without_a_word(tree: Path) -> None:
    fill(tree, "a.txt", "b.log.txt", "build/c.txt", "d/build/e.txt", "d/f.txt")
    ignore(tree, "# made by the build", "*.log.txt", "build/")
    assert read(tree) == ["a.txt", "d/f.txt"]
    assert len(load(tree)) == 2
    assert read(tree, gitignore=False) == ["a.txt", "b.log.txt", "build/c.txt", "d/f.txt", "d/build/e.txt"]


def test_deeper_files_win_and_may_take_back(tree: Path) -> None:
    fill(tree, "a.txt", "d/a.txt", "d/b.txt", "d/e/b.txt")
    ignore(tree, "a.txt", "d/e/")
    ignore(tree / "d", "!a.txt", "b.txt")
    ignore(tree / "d" / "e", "!b.txt")
    assert read(tree) == ["d/a.txt"]


def test_files_of_folders_above_hold_up_to_the_root_of_the_repository(tree: Path) -> None:
    fill(tree, "repository/docs/a.txt", "repository/docs/b.txt", "repository/docs/c.txt")
    docs = tree / "repository" / "docs"
    ignore(tree, "a.txt")
    ignore(tree / "repository", "/docs/b.txt")
    assert read(docs, docs) == ["a.txt", "b.txt", "c.txt"]
    (tree / "repository" / ".git").mkdir()
    assert read(docs, docs) == ["a.txt", "c.txt"]
    (tree / ".git").mkdir()
    assert read(docs, docs) == ["a.txt", "c.txt"]


def test_an_ignored_file_or_folder_is_read_when_it_is_named(tree: Path) -> None:
    fill(tree, "build/a.txt", "build/b/c.txt", "d.txt")
    (tree / ".git").mkdir()
    ignore(tree, "build/", "d.txt")
    assert read(tree) == []
    assert read(tree, tree / "build", tree / "d.txt") == ["build/a.txt", "build/b/c.txt", "d.txt"]
    ignore(tree, "*")
    assert read(tree, tree / "build") == ["build/a.txt", "build/b/c.txt"]


def test_lines_that_are_not_valid_are_passed_over(tree: Path) -> None:
    fill(tree, "a.txt", "b.txt")
    (tree / ".gitignore").write_bytes(b"\xef\xbb\xbfa.txt\r\n!\n\\\ncaf\xe9\n")
    assert read(tree) == ["b.txt"]


def test_a_file_that_cannot_be_read_closes_its_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tree, "a.txt", "b/secret.txt")
    ignore(tree / "b", "secret.txt")
    read_bytes = Path.read_bytes

    def refusing(path: Path) -> bytes:
        if path.name == ".gitignore":
            raise PermissionError(13, "Permission denied", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refusing)
    found = load(tree)
    assert [type(item) for item in found] == [Document, Failure]
    assert found[1] == Failure(str(tree / "b"), f"{tree / 'b' / '.gitignore'} cannot be read: Permission denied")


@pytest.mark.parametrize(
    "lines",
    [
        ["*", "!*/", "!*.txt"],
        ["*", "!**/", "!b/**"],
        ["b/**", "!b/keep.txt", "!b/c/"],
        ["/b/*", "!/b/c"],
        ["*.log", "!b/", "!keep.log"],
        ["**/c/*.log", "a.txt "],
        ["[ab]/", "!b/c/keep.txt"],
        ["b/c/*", "\\!x.txt", "x\\.txt"],
    ],
)
def test_it_is_understood_as_git_does(tree: Path, lines: list[str], git: None) -> None:
    names = ("a.txt", "x.log", "keep.log", "keep.txt", "!x.txt")
    fill(tree, *(f"{folder}{name}" for folder in ("", "a/", "b/", "b/c/", "b/c/d/") for name in names))
    ignore(tree, *lines)
    ignore(tree / "b" / "c", "!keep.log", "d/*", "!d/keep.txt")
    subprocess.run(["git", "init", "-q", tree], check=True)
    command = ["git", "-C", tree, "ls-files", "-z", "--others", "--exclude-standard", "*.txt", "*.log"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert sorted(read(tree, include=["*.txt", "*.log"])) == sorted(listed.split("\0")[:-1])
