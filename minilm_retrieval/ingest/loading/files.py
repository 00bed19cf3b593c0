"""Which files the given paths stand for: files themselves, folders, and patterns."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.ingest.documents import Failure, Skipped
from minilm_retrieval.ingest.loading.names import one_line, printable, source_name
from minilm_retrieval.ingest.loading.patterns import compiled, hidden_names
from minilm_retrieval.ingest.loading.walk import NOT_REGULAR, Selection, SourceFile, walk

_T = TypeVar("_T")
_GLOB = re.compile(r"[*?\[]")


class FileFinder:
    """Finds the files that paths stand for.

    Args:
        suffixes: Endings of the files that are read in folders, in lower case.
        include: In folders, take the files that match one of these patterns instead, of whatever suffix.
        exclude: In folders, leave out what matches one of these patterns.
        gitignore: In folders, leave out what ``.gitignore`` files leave out.

    Raises:
        InvalidOptionError: A pattern is not valid.
    """

    def __init__(
        self,
        suffixes: Iterable[str],
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        gitignore: bool = True,
    ) -> None:
        wanted = listed("include", include)
        self._selection = Selection(
            suffixes=frozenset(suffixes),
            include=(compiled("include", wanted),) if wanted else (),
            exclude=compiled("exclude", listed("exclude", exclude)),
            hidden=hidden_names(wanted),
            gitignore=gitignore,
        )

    def find(self, paths: Iterable[str | os.PathLike[str]]) -> Iterator[SourceFile | Failure | Skipped]:
        """Yield the files in order, each once, and in place of those that cannot be read why not."""
        read: set[str] = set()
        passed_over: set[str] = set()
        for path in paths:
            for found in self._found(os.fspath(path)):
                # What was passed over in a folder may still be given by its own name.
                seen = read if isinstance(found, SourceFile) else passed_over
                if found.source not in seen or isinstance(found, Failure):
                    seen.add(found.source)
                    yield found

    def _found(self, path: str) -> Iterator[SourceFile | Failure | Skipped]:
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116
        except OSError as error:
            yield from self._matches(path) if _GLOB.search(path) else [_missing(path, error)]
            return
        except ValueError as error:
            yield Failure(path, f"is no path: {error}")
            return
        if stat.S_ISDIR(mode):
            yield from walk(path, self._selection)
        elif stat.S_ISREG(mode):
            yield SourceFile(path, source_name(path), named=True)
        else:
            yield Failure(source_name(path), NOT_REGULAR)

    def _matches(self, pattern: str) -> Iterator[SourceFile | Failure | Skipped]:
        """Yield the files that a pattern matches, which is to walk the folder before its first wildcard."""
        folder, below = _divided(pattern)
        # The folder is named in these failures: what was found in it before is not gone.
        if not os.path.isdir(folder):  # noqa: PTH112
            yield Failure(source_name(folder), f"no such folder, for the pattern {pattern!r}")
            return
        selection = replace(
            self._selection,
            include=(*self._selection.include, compiled("paths", [f"/{below}"])),
            hidden=self._selection.hidden + hidden_names([below]),
        )
        matched = False
        for found in walk(folder, selection):
            matched = True
            yield found
        if not matched:
            yield Failure(source_name(folder), f"no file in it matches the pattern {pattern!r}")


def searched_place(path: str) -> str:
    """Return the file or folder that a path stands for as sources name it; for a pattern the folder it searches."""
    is_pattern = _GLOB.search(path) and not os.path.lexists(path)
    return source_name(_divided(path)[0] if is_pattern else path)


def _divided(pattern: str) -> tuple[str, str]:
    """Return the folder before a pattern's first wildcard, and the rest."""
    parts = Path(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if _GLOB.search(part))
    return str(Path(*parts[:fixed])), "/".join(parts[fixed:])


def listed(option: str, values: Iterable[_T]) -> list[_T]:
    """Return the values of an option that takes several.

    Raises:
        InvalidOptionError: One text was given in place of several, which would be taken for its letters.
    """
    if isinstance(values, (str, bytes, os.PathLike)):
        raise InvalidOptionError(f"{option} must be a list, got {values!r}; write [{values!r}].")
    return list(values)


def _missing(path: str, error: OSError) -> Failure:
    reason = "no such file or folder" if isinstance(error, FileNotFoundError) else one_line(error)
    if os.path.islink(path):  # noqa: PTH114
        reason = f"the symbolic link {printable(path)} leads there: {reason}"
    return Failure(source_name(path), reason)
