"""Which files of a folder are read, and which are passed over or reported."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from folders import fill, load, read

from minilm_retrieval.ingest import Document, Failure, Skipped

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return (tmp_path / "tree").resolve()


def test_folders_are_read_recursively_in_order_without_hidden_entries(tree: Path) -> None:
    fill(tree, "b/z.txt", "b/a.md", "a.txt", ".hidden.txt", ".git/x.txt", "c.rst", "B.txt", "a/b/c/d.text")
    assert read(tree) == ["B.txt", "a.txt", "c.rst", "a/b/c/d.text", "b/a.md", "b/z.txt"]


def test_other_file_types_are_skipped_with_their_ending(tree: Path) -> None:
    fill(tree, "a.txt", "b.Py", "LICENSE")
    assert load(tree)[::2] == [
        Skipped(str(tree / "LICENSE"), "files without an ending are not read"),
        Skipped(str(tree / "b.Py"), "files ending in .Py are not read"),
    ]


def test_a_file_is_read_once_however_often_it_is_reached(tree: Path) -> None:
    fill(tree, "a.txt", "b/c.txt")
    (tree / "d.txt").symlink_to(tree / "a.txt")
    (tree / "zz").symlink_to(tree / "b", target_is_directory=True)
    assert read(tree, tree / "b", tree / "b" / "c.txt", tree, tree / "d.txt", str(tree) + "/b/../b") == [
        "b/c.txt",
        "a.txt",
    ]


def test_relative_paths_give_absolute_ids(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tree, "b/a.txt")
    monkeypatch.chdir(tree)
    assert [item.id for item in load("b", "b/../b/a.txt", "*/*.txt") if isinstance(item, Document)] == [
        str(tree / "b" / "a.txt")
    ]


def test_linked_folders_are_followed_and_loops_end(tree: Path) -> None:
    fill(tree, "b/a.txt", "b/c/d.txt")
    outside = fill(tree.parent / "outside", "x.txt")
    (tree / "a-up").symlink_to(tree, target_is_directory=True)
    (tree / "b" / "c" / "up").symlink_to(tree / "b", target_is_directory=True)
    (tree / "a-link").symlink_to(tree / "b", target_is_directory=True)
    (tree / "out").symlink_to(outside, target_is_directory=True)
    (outside / "back").symlink_to(tree, target_is_directory=True)
    expected = [str(tree / "b" / "a.txt"), str(tree / "b" / "c" / "d.txt"), str(outside.resolve() / "x.txt")]
    assert [item.id for item in load(tree) if isinstance(item, Document)] == expected


def test_a_linked_folder_does_not_hide_the_folder_from_patterns(tree: Path) -> None:
    fill(tree, "real/a.txt")
    (tree / "a-link").symlink_to(tree / "real", target_is_directory=True)
    assert read(tree, include=["real/*.txt"]) == ["real/a.txt"]


def test_broken_links_are_reported(tree: Path) -> None:
    fill(tree, "a.txt")
    (tree / "gone.txt").symlink_to(tree / "nowhere.txt")
    (tree / "loop").symlink_to(tree / "loop")
    failures = [item for item in load(tree) if isinstance(item, Failure)]
    assert [failure.source for failure in failures] == [str(tree / "nowhere.txt"), str(tree / "loop")]
    assert failures[0].reason == f"the symbolic link {tree / 'gone.txt'} leads there: No such file or directory"
    assert load(tree / "gone.txt") == [
        Failure(str(tree / "nowhere.txt"), f"the symbolic link {tree / 'gone.txt'} leads there: no such file or folder")
    ]
    assert read(tree, include=["a.*"]) == read(tree, exclude=["gone.txt", "loop"]) == ["a.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="no such things in folders")
def test_what_is_no_file_is_passed_over(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tree, "z.txt")
    os.mkfifo(tree / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tree)  # since the path of a socket must be short
        server.bind("socket.txt")
    (tree / "device.txt").symlink_to("/dev/zero")
    found = load(tree)
    assert [type(item) for item in found] == [Skipped, Skipped, Skipped, Document]
    assert {item.reason for item in found if isinstance(item, Skipped)} == {"is not a regular file"}
    assert load(tree / "pipe.txt") == [Failure(str(tree / "pipe.txt"), "is not a regular file")]


@pytest.mark.skipif(IS_ROOT or sys.platform == "win32", reason="may read everything")
def test_what_may_not_be_read_is_reported(tree: Path) -> None:
    fill(tree, "a.txt", "b.txt", "c/d.txt", "e/f.txt")
    (tree / "b.txt").chmod(0)
    (tree / "c").chmod(0)
    try:
        found = load(tree, tree / "c" / "d.txt")
    finally:
        (tree / "c").chmod(0o700)
    assert [item for item in found if isinstance(item, Failure)] == [
        Failure(str(tree / "b.txt"), "Permission denied"),
        Failure(str(tree / "c"), "the folder cannot be read: Permission denied"),
        Failure(str(tree / "c" / "d.txt"), "Permission denied"),
    ]


def test_an_unreadable_folder_is_named_and_the_others_are_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tree, "a.txt", "b/c.txt", "d/e.txt")
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path) == str(tree / "b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refusing)
    found = load(tree)
    assert found[1] == Failure(str(tree / "b"), "the folder cannot be read: Permission denied")
    assert [type(item) for item in found] == [Document, Failure, Document]


def test_missing_paths_are_reported(tree: Path) -> None:
    fill(tree, "a.txt")
    # Of Python's own words, which differ between its versions.
    with pytest.raises(ValueError) as refusal:
        Path("a\0b").stat()
    assert load(tree / "none", tree / "a.txt" / "b", "a\0b") == [
        Failure(str(tree / "none"), "no such file or folder"),
        Failure(str(tree / "a.txt" / "b"), "Not a directory"),
        Failure("a\0b", f"is no path: {refusal.value}"),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_names_that_are_not_utf8_have_ids_that_can_be_stored(tree: Path) -> None:
    tree.mkdir()
    for path in (os.fsencode(tree) + b"/caf\xe9.txt", os.fsencode(tree) + b"/caf\xe8.txt"):
        os.close(os.open(path, os.O_CREAT))
    found = load(tree)
    assert [item.id for item in found if isinstance(item, Document)] == [f"{tree}/caf\\xe8.txt", f"{tree}/caf\\xe9.txt"]


def test_a_file_that_is_passed_over_in_a_folder_is_read_when_it_is_named(tree: Path) -> None:
    fill(tree, "a.py")
    assert read(tree, tree, tree / "a.py") == ["a.py"]
    assert read(tree, tree, str(tree / "*.py"), tree) == ["a.py"]
