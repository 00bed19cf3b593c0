from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minilm_retrieval.ingest import Document, Failure, Skipped, load_documents

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return (tmp_path / "tree").resolve()


def fill(root: Path, *names: str, **contents: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(contents.get(name, f"text of {name}\n"))
    return root


def ignore(folder: Path, *lines: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("\n".join(lines) + "\n")


def load(*paths: Path | str, **options: Any) -> list[Document | Failure | Skipped]:
    return list(load_documents(paths, **options))


def read(root: Path, *paths: Path | str, **options: Any) -> list[str]:
    """Names of the files that are read, below a folder; nothing may fail."""
    found = load(*(paths or (root,)), **options)
    assert not [item for item in found if isinstance(item, Failure)]
    return [Path(item.id).relative_to(root).as_posix() for item in found if isinstance(item, Document)]


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
    assert load(tree / "none", tree / "a.txt" / "b", "a\0b") == [
        Failure(str(tree / "none"), "no such file or folder"),
        Failure(str(tree / "a.txt" / "b"), "Not a directory"),
        Failure("a\0b", "is no path: embedded null byte"),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_names_that_are_not_utf8_have_ids_that_can_be_stored(tree: Path) -> None:
    tree.mkdir()
    for path in (os.fsencode(tree) + b"/caf\xe9.txt", os.fsencode(tree) + b"/caf\xe8.txt"):
        os.close(os.open(path, os.O_CREAT))
    found = load(tree)
    assert [item.id for item in found if isinstance(item, Document)] == [f"{tree}/caf\\xe8.txt", f"{tree}/caf\\xe9.txt"]


class TestPatterns:
    def test_include_reads_what_matches_of_whatever_type_and_nothing_else(self, tree: Path) -> None:
        fill(tree, "a.py", "b.txt", "src/c.txt", "src/d/e.txt", "src/d/f.py", "g.png")
        assert read(tree, include=["*.py"]) == ["a.py", "src/d/f.py"]
        assert read(tree, include=["src/**/*.txt"]) == ["src/c.txt", "src/d/e.txt"]
        assert read(tree, include=["/*.py", "b.*"]) == ["a.py", "b.txt"]
        assert read(tree, include=["*.py", "!src/"]) == ["a.py"]
        assert len(load(tree, include=["*.py"])) == 2

    def test_exclude_leaves_out_files_and_folders_without_a_word(self, tree: Path) -> None:
        fill(tree, "a.txt", "b.png", "drafts/c.txt", "d/drafts/e.txt", "d/f.txt")
        assert read(tree, exclude=["drafts/", "*.png"]) == ["a.txt", "d/f.txt"]
        assert read(tree, include=["*.txt"], exclude=["/d"]) == ["a.txt", "drafts/c.txt"]
        assert len(load(tree, exclude=["drafts/", "*.png"])) == 2

    def test_hidden_entries_need_a_pattern_that_names_the_dot(self, tree: Path) -> None:
        fill(tree, ".a.md", ".github/b.md", ".github/.c.md", ".git/d.md", "e.md")
        assert read(tree, include=["*.md"]) == ["e.md"]
        assert read(tree, include=["*.md", ".github/**/*.md"]) == ["e.md", ".github/b.md"]
        assert read(tree, include=[".a.*"]) == [".a.md"]
        assert read(tree, tree / ".a.md", tree / ".git") == [".a.md", ".git/d.md"]

    def test_named_files_are_read_whatever_the_patterns(self, tree: Path) -> None:
        fill(tree, "a.txt")
        assert read(tree, tree / "a.txt", include=["*.py"], exclude=["*.txt"]) == ["a.txt"]

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("docs/*.md", ["docs/a.md"]),
            ("docs/**/*.md", ["docs/a.md", "docs/b/c.md", "docs/b/d/e.md"]),
            ("docs/*/?.md", ["docs/b/c.md"]),
            ("*/b/[a-c].*", ["docs/b/c.md"]),
            ("docs/**/*.py", ["docs/b/f.py"]),
            ("**/.h/*", ["docs/.h/g.md"]),
            ("doc[s]/b/d", ["docs/b/d/e.md"]),
        ],
    )
    def test_patterns_as_paths(self, tree: Path, pattern: str, expected: list[str]) -> None:
        fill(tree, "docs/a.md", "docs/b/c.md", "docs/b/d/e.md", "docs/b/f.py", "docs/.h/g.md", "x.md")
        assert read(tree, f"{tree}/{pattern}") == expected

    def test_patterns_as_paths_obey_the_options(self, tree: Path) -> None:
        fill(tree, "docs/a.md", "docs/b.md", "docs/c.txt", "docs/build/d.md")
        ignore(tree / "docs", "build/")
        assert read(tree, f"{tree}/docs/**/*.md", exclude=["a.*"]) == ["docs/b.md"]
        assert read(tree, f"{tree}/docs/*", include=["*.txt"]) == ["docs/c.txt"]

    def test_patterns_without_a_match_name_their_folder(self, tree: Path) -> None:
        fill(tree, "docs/a.md")
        assert load(f"{tree}/docs/*.rst", f"{tree}/doc/*.md") == [
            Failure(str(tree / "docs"), f"no file in it matches the pattern '{tree}/docs/*.rst'"),
            Failure(str(tree / "doc"), f"no such folder, for the pattern '{tree}/doc/*.md'"),
        ]
        assert load(tree, f"{tree}/docs/*.md")[1:] == []

    def test_a_file_may_have_the_name_of_a_pattern(self, tree: Path) -> None:
        fill(tree, "a[1].txt", "a1.txt")
        assert read(tree, tree / "a[1].txt") == ["a[1].txt"]


class TestGitignore:
    def test_ignored_files_are_left_out_without_a_word(self, tree: Path) -> None:
        fill(tree, "a.txt", "b.log.txt", "build/c.txt", "d/build/e.txt", "d/f.txt")
        ignore(tree, "# made by the build", "*.log.txt", "build/")
        assert read(tree) == ["a.txt", "d/f.txt"]
        assert len(load(tree)) == 2
        assert read(tree, gitignore=False) == ["a.txt", "b.log.txt", "build/c.txt", "d/f.txt", "d/build/e.txt"]

    def test_deeper_files_win_and_may_take_back(self, tree: Path) -> None:
        fill(tree, "a.txt", "d/a.txt", "d/b.txt", "d/e/b.txt")
        ignore(tree, "a.txt", "d/e/")
        ignore(tree / "d", "!a.txt", "b.txt")
        ignore(tree / "d" / "e", "!b.txt")
        assert read(tree) == ["d/a.txt"]

    def test_files_of_folders_above_hold_up_to_the_root_of_the_repository(self, tree: Path) -> None:
        fill(tree, "repository/docs/a.txt", "repository/docs/b.txt", "repository/docs/c.txt")
        docs = tree / "repository" / "docs"
        ignore(tree, "a.txt")
        ignore(tree / "repository", "/docs/b.txt")
        assert read(docs, docs) == ["a.txt", "b.txt", "c.txt"]
        (tree / "repository" / ".git").mkdir()
        assert read(docs, docs) == ["a.txt", "c.txt"]
        (tree / ".git").mkdir()
        assert read(docs, docs) == ["a.txt", "c.txt"]

    def test_an_ignored_file_or_folder_is_read_when_it_is_named(self, tree: Path) -> None:
        fill(tree, "build/a.txt", "build/b/c.txt", "d.txt")
        (tree / ".git").mkdir()
        ignore(tree, "build/", "d.txt")
        assert read(tree) == []
        assert read(tree, tree / "build", tree / "d.txt") == ["build/a.txt", "build/b/c.txt", "d.txt"]
        ignore(tree, "*")
        assert read(tree, tree / "build") == ["build/a.txt", "build/b/c.txt"]

    def test_lines_that_are_not_valid_are_passed_over(self, tree: Path) -> None:
        fill(tree, "a.txt", "b.txt")
        (tree / ".gitignore").write_bytes(b"\xef\xbb\xbfa.txt\r\n!\n\\\ncaf\xe9\n")
        assert read(tree) == ["b.txt"]

    def test_a_file_that_cannot_be_read_closes_its_folder(self, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    def test_it_is_understood_as_git_does(self, tree: Path, lines: list[str], git: None) -> None:
        names = ("a.txt", "x.log", "keep.log", "keep.txt", "!x.txt")
        fill(tree, *(f"{folder}{name}" for folder in ("", "a/", "b/", "b/c/", "b/c/d/") for name in names))
        ignore(tree, *lines)
        ignore(tree / "b" / "c", "!keep.log", "d/*", "!d/keep.txt")
        subprocess.run(["git", "init", "-q", tree], check=True)
        command = ["git", "-C", tree, "ls-files", "-z", "--others", "--exclude-standard", "*.txt", "*.log"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert sorted(read(tree, include=["*.txt", "*.log"])) == sorted(listed.split("\0")[:-1])


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


def test_a_file_that_is_passed_over_in_a_folder_is_read_when_it_is_named(tree: Path) -> None:
    fill(tree, "a.py")
    assert read(tree, tree, tree / "a.py") == ["a.py"]
    assert read(tree, tree, str(tree / "*.py"), tree) == ["a.py"]
