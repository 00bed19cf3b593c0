"""Documents from files and folders, and whether one that was read before is gone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from minilm_retrieval.ingest.documents import Document, Failure, Skipped
from minilm_retrieval.ingest.loading.decoding import Encoding, checked_encoding
from minilm_retrieval.ingest.loading.files import FileFinder, listed, searched_place
from minilm_retrieval.ingest.loading.readers import SUFFIXES, read_file
from minilm_retrieval.ingest.loading.walk import SourceFile

TEXT_FIELD = "text"


def load_documents(
    paths: Iterable[str | os.PathLike[str]],
    text_field: str = TEXT_FIELD,
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    gitignore: bool = True,
    encoding: str | None = None,
) -> LoadedDocuments:
    """Read documents from files and folders, one at a time.

    Plain text (.txt, .text, .rst), Markdown (.md, .markdown), PDF, Word, PowerPoint, Excel and HTML give one document
    a file; PDF and the types after it become Markdown and need the extra ``[files]``. JSONL (.jsonl, .ndjson) gives
    one document a line, CSV (.csv, .tsv) and Parquet (.parquet, which needs the extra ``[parquet]``) one a row, read as
    they come: with the text in ``text_field``, an id in ``id`` or ``_id`` if there is one, and the other fields as
    metadata. Columns of Parquet that hold vectors are left out.

    Folders are read recursively, files in sorted order. Symbolic links are followed, and no file is read twice. Hidden
    entries are passed over unless a pattern in ``include`` has a part that begins with a dot and matches. Only files
    of the types above are read there; a file given by its own name is read as plain text if it is of no known type.

    Text is taken as its byte order mark says, else as UTF-8, else in the encoding that fits best; then the document's
    metadata has the name of that guess in ``encoding``.

    Args:
        paths: Files, folders, and patterns such as ``"docs/**/*.md"``, for which all that is said of folders holds.
        text_field: Name of the text's field in JSONL and CSV.
        include: In folders, read the files that match one of these patterns instead, of whatever type. Patterns are
            written as in ``.gitignore``, relative to the folder given, or the one before a pattern's first wildcard.
        exclude: In folders, leave out what matches one of these patterns.
        gitignore: In folders, leave out what ``.gitignore`` files leave out: those of the folder, of the folders in
            it, and of the folders above it up to the root of its repository.
        encoding: Of all text; ``None`` to find out for each file.

    Returns:
        An iterator of documents whose id is the file's absolute path without symbolic links, with ``#`` and the
        record's id for records (``#line-7``, of Parquet ``#row-7``, where it has none); of a :class:`Failure` in place
        of each file, folder, line or row that cannot be read; and of a :class:`Skipped` for each file in a folder that
        is binary, of another type, or needs an extra.

    Raises:
        InvalidOptionError: A pattern is not valid, Python has no such encoding, or one text was given in place of a
            list. Raised by the call itself.
    """
    finder = FileFinder(SUFFIXES, include, exclude, gitignore)
    forced = None if encoding is None else checked_encoding(encoding)
    return LoadedDocuments(finder, [os.fspath(path) for path in listed("paths", paths)], text_field, forced)


class LoadedDocuments(Iterator["Document | Failure | Skipped"]):
    """What :func:`load_documents` returns: an iterator that also knows which documents are gone from its places."""

    def __init__(self, finder: FileFinder, paths: list[str], text_field: str, encoding: Encoding | None) -> None:
        self._places = [searched_place(path) for path in paths if "\0" not in path]
        self._read: set[str] = set()
        # Files and folders in which there may be more than was read.
        self._unread: set[str] = set()
        self._items = self._load(finder.find(paths), text_field, encoding)

    def __next__(self) -> Document | Failure | Skipped:
        return next(self._items)

    def is_gone(self, source: str) -> bool:
        """Tell whether a document that is in none of these files any more was in one of these places.

        A file that is still there is not gone, even if it was skipped or the options leave it out; a record is gone if
        all of its file was read and did not have it. To be asked when everything has been read.

        Args:
            source: Id of a document.
        """
        if not any(_is_in(source, place) for place in self._places):
            return False
        # The name of a file may have the sign that separates it from a record's id.
        parts = source.split("#")
        files = ["#".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
        if os.path.lexists(source):
            return False
        file = next((file for file in files if _is_there(file)), None)
        if file is None:
            return not any(_is_in(source, unread) for unread in self._unread)
        return file in self._read and file not in self._unread

    def _load(
        self, found: Iterator[SourceFile | Failure | Skipped], text_field: str, encoding: Encoding | None
    ) -> Iterator[Document | Failure | Skipped]:
        for file in found:
            if not isinstance(file, SourceFile):
                if isinstance(file, Failure):
                    self._unread.add(file.source)
                yield file
                continue
            self._read.add(file.source)
            for item in read_file(file, text_field, encoding):
                if not isinstance(item, Document):
                    self._unread.add(item.source)
                yield item


def _is_there(file: str) -> bool:
    """Tell whether something that may have held records has this name, such as a pipe or a link that leads nowhere."""
    return os.path.lexists(file) and not os.path.isdir(file)  # noqa: PTH112


def _is_in(source: str, place: str) -> bool:
    """Tell whether a document is this file, a record of it, or in this folder."""
    if os.path.isdir(place):  # noqa: PTH112
        return source.startswith(os.path.join(place, ""))  # noqa: PTH118
    return source == place or source.startswith((f"{place}#", os.path.join(place, "")))  # noqa: PTH118
