"""Files into documents: plain text, records, and what the converter makes of other types."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from minilm_retrieval.errors import DocumentError, MissingExtraError
from minilm_retrieval.ingest.documents import Document, Failure, Skipped
from minilm_retrieval.ingest.loading.converter import CONVERTED_SUFFIXES, to_markdown
from minilm_retrieval.ingest.loading.decoding import (
    Encoding,
    NotTextError,
    check_no_zeros,
    decode,
    find_encoding,
)
from minilm_retrieval.ingest.loading.names import one_line
from minilm_retrieval.ingest.loading.records import PARQUET_SUFFIXES, RECORD_SUFFIXES, record_documents
from minilm_retrieval.ingest.loading.walk import NOT_REGULAR, SourceFile

MARKDOWN_SUFFIXES = frozenset({".md", ".markdown"})
TEXT_SUFFIXES = frozenset({".txt", ".text", ".rst"}) | MARKDOWN_SUFFIXES
SUFFIXES = TEXT_SUFFIXES | RECORD_SUFFIXES | CONVERTED_SUFFIXES
# From this much of a file its encoding is found out, for a file of records for good: the rest is read line by line.
_BEGINNING_BYTES = 1 << 20


def read_file(
    file: SourceFile,
    text_field: str,
    encoding: Encoding | None,
    open_file: Callable[[str], BinaryIO] | None = None,
) -> Iterator[Document | Failure | Skipped]:
    """Yield the documents of a file, by its suffix; one of an unknown suffix is read as plain text.

    Args:
        file: Which.
        text_field: Name of the text's field in records.
        encoding: Of its text; ``None`` to find out.
        open_file: Opens a path to read bytes from any place; ``None`` for the file system of this machine.
    """
    try:
        with (open_file or opened)(file.path) as stream:
            yield from _documents(file.source, Path(file.path).suffix.lower(), stream, text_field, encoding)
    except (NotTextError, MissingExtraError) as error:
        yield Failure(file.source, str(error)) if file.named else Skipped(file.source, str(error))
    except (OSError, DocumentError, UnicodeError, MemoryError) as error:
        yield Failure(file.source, one_line(error))


def opened(path: str) -> BinaryIO:
    """Open a regular file to read its bytes.

    Raises:
        OSError: It cannot be opened.
        DocumentError: It is not a regular file.
    """
    # Without O_NONBLOCK, opening a pipe that has taken the file's place would wait for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DocumentError(NOT_REGULAR)
    return open(descriptor, "rb")  # noqa: PTH123


def _documents(
    source: str, suffix: str, stream: BinaryIO, text_field: str, encoding: Encoding | None
) -> Iterator[Document | Failure]:
    if suffix in PARQUET_SUFFIXES:
        yield from record_documents(source, suffix, stream, text_field)
        return
    if encoding is not None and suffix not in CONVERTED_SUFFIXES:
        check_no_zeros(stream.read(_BEGINNING_BYTES), encoding)
        stream.seek(0)
    if suffix in CONVERTED_SUFFIXES:
        text, metadata = to_markdown(stream.read(), suffix, encoding)
        yield Document(source, text, metadata, "markdown")
    elif suffix in RECORD_SUFFIXES:
        yield from record_documents(source, suffix, stream, text_field, encoding or first_guess(stream)[0])
    else:
        yield _text_document(source, suffix, stream, encoding)


def first_guess(stream: BinaryIO) -> tuple[Encoding, bool]:
    """Return the encoding that the beginning of a file has, and whether that is all of the file."""
    beginning = stream.read(_BEGINNING_BYTES)
    is_whole = len(beginning) < _BEGINNING_BYTES
    stream.seek(0)
    return find_encoding(beginning, is_whole), is_whole


def _text_document(source: str, suffix: str, stream: BinaryIO, encoding: Encoding | None) -> Document:
    is_certain = True
    if encoding is None:
        # Also so that a film is known to be none before all of it is in memory.
        encoding, is_certain = first_guess(stream)
    data = stream.read()
    if not is_certain:
        encoding = find_encoding(data)
    text = decode(data, encoding)
    return Document(source, text, encoding.metadata, "markdown" if suffix in MARKDOWN_SUFFIXES else "text")
