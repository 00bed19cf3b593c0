"""Patterns that include and exclude files, and patterns given as paths."""

from __future__ import annotations

from pathlib import Path

import pytest
from folders import fill, ignore, load, read

from minilm_retrieval.ingest import Failure


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return (tmp_path / "tree").resolve()


def test_include_reads_what_matches_of_whatever_type_and_nothing_else(tree: Path) -> None:
    fill(tree, "a.py", "b.txt", "src/c.txt", "src/d/e.txt", "src/d/f.py", "g.png")
    assert read(tree, include=["*.py"]) == ["a.py", "src/d/f.py"]
    assert read(tree, include=["src/**/*.txt"]) == ["src/c.txt", "src/d/e.txt"]
    assert read(tree, include=["/*.py", "b.*"]) == ["a.py", "b.txt"]
    assert read(tree, include=["*.py", "!src/"]) == ["a.py"]
    assert len(load(tree, include=["*.py"])) == 2


def test_exclude_leaves_out_files_and_folders_without_a_word(tree: Path) -> None:
    fill(tree, "a.txt", "b.png", "drafts/c.txt", "d/drafts/e.txt", "d/f.txt")
    assert read(tree, exclude=["drafts/", "*.png"]) == ["a.txt", "d/f.txt"]
    assert read(tree, include=["*.txt"], exclude=["/d"]) == ["a.txt", "drafts/c.txt"]
    assert len(load(tree, exclude=["drafts/", "*.png"])) == 2


def test_hidden_entries_need_a_pattern_that_names_the_dot(tree: Path) -> None:
    fill(tree, ".a.md", ".github/b.md", ".github/.c.md", ".git/d.md", "e.md")
    assert read(tree, include=["*.md"]) == ["e.md"]
    assert read(tree, include=["*.md", ".github/**/*.md"]) == ["e.md", ".github/b.md"]
    assert read(tree, include=[".a.*"]) == [".a.md"]
    assert read(tree, tree / ".a.md", tree / ".git") == [".a.md", ".git/d.md"]


def test_named_files_are_read_whatever_the_patterns(tree: Path) -> None:
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
def test_patterns_as_paths(tree: Path, pattern: str, expected: list[str]) -> None:
    fill(tree, "docs/a.md", "docs/b/c.md", "docs/b/d/e.md", "docs/b/f.py", "docs/.h/g.md", "x.md")
    assert read(tree, f"{tree}/{pattern}") == expected


def test_patterns_as_paths_obey_the_options(tree: Path) -> None:
    fill(tree, "docs/a.md", "docs/b.md", "docs/c.txt", "docs/build/d.md")
    ignore(tree / "docs", "build/")
    assert read(tree, f"{tree}/docs/**/*.md", exclude=["a.*"]) == ["docs/b.md"]
    assert read(tree, f"{tree}/docs/*", include=["*.txt"]) == ["docs/c.txt"]


def test_patterns_without_a_match_name_their_folder(tree: Path) -> None:
    fill(tree, "docs/a.md")
    assert load(f"{tree}/docs/*.rst", f"{tree}/doc/*.md") == [
        Failure(str(tree / "docs"), f"no file in it matches the pattern '{tree}/docs/*.rst'"),
        Failure(str(tree / "doc"), f"no such folder, for the pattern '{tree}/doc/*.md'"),
    ]
    assert load(tree, f"{tree}/docs/*.md")[1:] == []


def test_a_file_may_have_the_name_of_a_pattern(tree: Path) -> None:
    fill(tree, "a[1].txt", "a1.txt")
    assert read(tree, tree / "a[1].txt") == ["a[1].txt"]
