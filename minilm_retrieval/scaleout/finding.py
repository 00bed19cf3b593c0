"""Which files paths stand for, on this machine's file systems and on others: S3, Google's, Azure's, HDFS, and more."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from pathspec import PathSpec, Pattern

from minilm_retrieval.arrow import arrow
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.ingest import Failure, Skipped
from minilm_retrieval.ingest.loading.files import FileFinder, listed
from minilm_retrieval.ingest.loading.names import one_line
from minilm_retrieval.ingest.loading.patterns import compiled
from minilm_retrieval.ingest.loading.readers import SUFFIXES
from minilm_retrieval.ingest.loading.walk import SourceFile
from minilm_retrieval.scaleout.lots import FoundFile

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_WILDCARD = re.compile(r"[*?\[]")


class Finder:
    """Finds the files that paths and addresses such as ``s3://bucket/folder`` stand for.

    Args:
        include: In folders, take the files that match one of these patterns instead of those of known types.
        exclude: In folders, leave out what matches one of these patterns.
        gitignore: In folders of this machine, leave out what ``.gitignore`` files leave out.

    Raises:
        InvalidOptionError: A pattern is not valid.
    """

    def __init__(self, include: Iterable[str] = (), exclude: Iterable[str] = (), gitignore: bool = True) -> None:
        wanted, unwanted = listed("include", include), listed("exclude", exclude)
        self._include = compiled("include", wanted) if wanted else None
        self._exclude = compiled("exclude", unwanted)
        self._local = FileFinder(SUFFIXES, wanted, unwanted, gitignore)

    def find(self, paths: Iterable[str]) -> Iterator[FoundFile | Failure | Skipped]:
        """Yield the files, each once, those of this machine first; and in place of what cannot be read why not."""
        given = listed("paths", paths)
        for item in self._local.find([path for path in given if not is_address(path)]):
            yield FoundFile.local(item) if isinstance(item, SourceFile) else item
        seen: set[str] = set()
        for path in given:
            if scheme := _URI.match(path):
                for found in self._remote(path, scheme[1]):
                    source = found.file.source if isinstance(found, FoundFile) else found.source
                    if source not in seen:
                        seen.add(source)
                        yield found

    def _remote(self, address: str, scheme: str) -> Iterator[FoundFile | Failure | Skipped]:
        wildcard = _WILDCARD.search(address)
        folder = address if wildcard is None else address[: address.rindex("/", 0, wildcard.start())]
        pattern = None if wildcard is None else compiled("paths", [address[len(folder) :]])
        try:
            filesystem, place = file_system(folder)
            (status,) = filesystem.get_file_info([place])
            if status.type.name == "NotFound":
                yield Failure(address, "no such file or folder")
            elif status.type.name == "File":
                yield FoundFile(SourceFile(place, address, named=True), status.size or 0, filesystem)
            else:
                yield from self._folder(filesystem, place, scheme, pattern)
        except OSError as error:
            yield Failure(address, one_line(error))

    def _folder(
        self, filesystem: Any, place: str, scheme: str, pattern: PathSpec[Pattern] | None
    ) -> Iterator[FoundFile | Failure | Skipped]:
        from pyarrow.fs import FileSelector

        entries = filesystem.get_file_info(FileSelector(place, recursive=True))
        matched = False
        for entry in sorted(entries, key=lambda entry: str(entry.path)):
            relative = entry.path[len(place.rstrip("/")) + 1 :]
            if entry.type.name != "File" or self._leaves_out(relative, pattern):
                continue
            matched = True
            source = f"{scheme}://{entry.path}"
            suffix = PurePosixPath(relative).suffix
            if self._include is None and pattern is None and suffix.lower() not in SUFFIXES:
                yield Skipped(source, f"files ending in {suffix} are not read" if suffix else "files without an ending")
            else:
                yield FoundFile(SourceFile(entry.path, source), entry.size or 0, filesystem)
        if pattern is not None and not matched:
            yield Failure(f"{scheme}://{place}", "no file in it matches the pattern")

    def _leaves_out(self, relative: str, pattern: PathSpec[Pattern] | None) -> bool:
        hidden = any(part.startswith(".") for part in relative.split("/"))
        taken = all(patterns is None or patterns.match_file(relative) for patterns in (self._include, pattern))
        return hidden or not taken or self._exclude.match_file(relative)


def is_address(path: str) -> bool:
    """Tell whether this is an address such as ``s3://bucket/folder``, and no path of this machine."""
    return _URI.match(path) is not None


def file_system(address: str) -> tuple[Any, str]:
    """Return the pyarrow file system of a path, or an address such as ``s3://bucket/folder``, and the path on it.

    Raises:
        InvalidOptionError: Nothing installed knows such addresses.
        OSError: The file system cannot be reached.
        MissingExtraError: pyarrow is not installed.
    """
    pyarrow, _ = arrow()
    from pyarrow import fs

    if not is_address(address):
        return fs.LocalFileSystem(), os.path.abspath(address)  # noqa: PTH100
    try:
        return fs.FileSystem.from_uri(address)  # type: ignore[no-any-return]
    # It does not know this kind of address, or was built without it. What cannot be reached is an OSError.
    except pyarrow.ArrowException as error:
        try:
            import fsspec

            found, path = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError):
            raise InvalidOptionError(f"No file system for {address!r} is installed: {error}") from error
        return fs.PyFileSystem(fs.FSSpecHandler(found)), path
