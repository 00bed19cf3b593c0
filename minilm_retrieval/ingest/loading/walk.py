"""The files below a folder: hidden entries, ignored ones, symbolic links, and what is no file at all."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from pathspec import PathSpec, Pattern

from minilm_retrieval.errors import DocumentError
from minilm_retrieval.ingest.documents import Failure, Skipped
from minilm_retrieval.ingest.loading.names import one_line, printable
from minilm_retrieval.ingest.loading.patterns import IgnoreRules

NOT_REGULAR = "is not a regular file"


@dataclass(frozen=True)
class SourceFile:
    """A file to read.

    Attributes:
        path: Where to open it.
        source: Its absolute path without symbolic links, as text that can be stored: the id of its document.
        named: Given by its own name, so that passing it over is a failure.
    """

    path: str
    source: str
    named: bool = False


@dataclass(frozen=True)
class Selection:
    """Which entries of a folder are taken.

    Attributes:
        suffixes: Endings of the files that are read where nothing is included, in lower case.
        include: If there are any: take the files that match each of these, of whatever suffix.
        exclude: Leave out what matches.
        hidden: Shell patterns of the hidden names that are not left out.
        gitignore: Leave out what ``.gitignore`` files leave out.
    """

    suffixes: frozenset[str]
    include: tuple[PathSpec[Pattern], ...]
    exclude: PathSpec[Pattern]
    hidden: tuple[str, ...]
    gitignore: bool

    def leaves_out(self, relative: str, is_folder: bool) -> bool:
        """Tell whether an entry is hidden or excluded, so that nobody need hear of it."""
        name = relative.rpartition("/")[2]
        if name.startswith(".") and not any(fnmatch(name, pattern) for pattern in self.hidden):
            return True
        return self.exclude.match_file(f"{relative}/" if is_folder else relative)

    def takes(self, relative: str) -> bool:
        """Tell whether a file is one of those wanted, as far as patterns say."""
        return all(patterns.match_file(relative) for patterns in self.include)


@dataclass(frozen=True)
class _Folder:
    path: str
    real: str
    relative: str
    rules: IgnoreRules


def walk(root: str, selection: Selection) -> Iterator[SourceFile | Failure | Skipped]:
    """Yield the files below a folder: those of each folder in sorted order, then those of the folders in it.

    Folders that are symbolic links are followed, once each and after all others, so that what can be reached without
    a link is found under its own name.
    """
    real = os.path.realpath(root)
    try:
        folders = [_Folder(real, real, "", IgnoreRules.above(real) if selection.gitignore else IgnoreRules())]
    except (OSError, DocumentError) as error:
        yield Failure(printable(real), one_line(error))
        return
    linked: deque[_Folder] = deque()
    entered: set[tuple[int, int]] = set()
    while folders or linked:
        folder = folders.pop() if folders else linked.popleft()
        inner: list[_Folder] = []
        try:
            entries, rules = _listing(folder, selection, entered)
        except OSError as error:
            yield Failure(printable(folder.real), f"the folder cannot be read: {one_line(error)}")
            continue
        except DocumentError as error:
            yield Failure(printable(folder.real), str(error))
            continue
        for entry in entries:
            found = _examined(entry, folder, rules, selection)
            if isinstance(found, _Folder):
                (linked if entry.is_symlink() else inner).append(found)
            elif found is not None:
                yield found
        folders.extend(reversed(inner))


def _listing(
    folder: _Folder, selection: Selection, entered: set[tuple[int, int]]
) -> tuple[list[os.DirEntry[str]], IgnoreRules]:
    status = os.stat(folder.path)  # noqa: PTH116
    identity = (status.st_dev, status.st_ino)
    if identity in entered:
        return [], folder.rules
    entered.add(identity)
    rules = folder.rules.within(folder.path) if selection.gitignore else folder.rules
    with os.scandir(folder.path) as entries:
        return sorted(entries, key=lambda entry: entry.name), rules


def _examined(
    entry: os.DirEntry[str], folder: _Folder, rules: IgnoreRules, selection: Selection
) -> _Folder | SourceFile | Failure | Skipped | None:
    """Say what an entry is; ``None`` for one that is left out without a word."""
    relative = f"{folder.relative}{entry.name}"
    problem, mode = "", 0
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        problem = one_line(error)
    is_folder = stat.S_ISDIR(mode)
    if selection.leaves_out(relative, is_folder) or rules.ignores(entry.path, is_folder):
        return None
    is_link = entry.is_symlink()
    real = os.path.realpath(entry.path) if is_link else os.path.join(folder.real, entry.name)  # noqa: PTH118
    if is_folder:
        return _Folder(entry.path, real, f"{relative}/", rules)
    if not selection.takes(relative):
        return None
    source, suffix = printable(real), Path(entry.name).suffix
    if problem:
        link = f"the symbolic link {printable(entry.path)} leads there: " if is_link else ""
        return Failure(source, f"{link}{problem}")
    if not stat.S_ISREG(mode):
        return Skipped(source, NOT_REGULAR)
    if not selection.include and suffix.lower() not in selection.suffixes:
        return Skipped(
            source, f"files ending in {suffix} are not read" if suffix else "files without an ending are not read"
        )
    return SourceFile(entry.path, source)
