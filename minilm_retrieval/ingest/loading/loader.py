"""Documents from files and folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from minilm_retrieval.ingest.documents import Document, Failure, Skipped
from minilm_retrieval.ingest.loading.decoding import Encoding, checked_encoding
from minilm_retrieval.ingest.loading.files import FileFinder, listed
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
) -> Iterator[Document | Failure | Skipped]:
    """Read documents from files and folders, one at a time.

    Plain text (.txt, .text, .rst), Markdown (.md, .markdown), PDF, Word, PowerPoint, Excel and HTML give one document
    a file; PDF and the types after it become Markdown and need the extra ``[files]``. JSONL (.jsonl, .ndjson) gives
    one document a line and CSV (.csv, .tsv) one a row, read as they come: with the text in ``text_field``, an id in
    ``id`` or ``_id`` if there is one, and the other fields as metadata.

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

    Yields:
        Documents whose id is the file's absolute path without symbolic links, with ``#`` and the record's id or line
        number for records; a :class:`Failure` in place of each file, folder, line or row that cannot be read; and a
        :class:`Skipped` for each file in a folder that is binary, of another type, or needs an extra.

    Raises:
        InvalidOptionError: A pattern is not valid, Python has no such encoding, or one text was given in place of a
            list. Raised by the call itself.
    """
    finder = FileFinder(SUFFIXES, include, exclude, gitignore)
    forced = None if encoding is None else checked_encoding(encoding)
    return _loaded(finder.find(listed("paths", paths)), text_field, forced)


def _loaded(
    found: Iterator[SourceFile | Failure | Skipped], text_field: str, encoding: Encoding | None
) -> Iterator[Document | Failure | Skipped]:
    for file in found:
        if isinstance(file, SourceFile):
            yield from read_file(file, text_field, encoding)
        else:
            yield file
