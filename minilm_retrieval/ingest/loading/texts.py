"""A file of short texts: one a line, or one a record."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from minilm_retrieval.errors import DocumentError
from minilm_retrieval.ingest.documents import Document, Failure
from minilm_retrieval.ingest.loading.decoding import Encoding, check_no_zeros, checked_encoding, decoded_lines
from minilm_retrieval.ingest.loading.loader import TEXT_FIELD
from minilm_retrieval.ingest.loading.names import one_line
from minilm_retrieval.ingest.loading.readers import first_guess, opened
from minilm_retrieval.ingest.loading.records import CSV_DELIMITERS, JSONL_SUFFIXES, record_documents

STANDARD_INPUT = "-"


def read_texts(
    file: str | os.PathLike[str], text_field: str = TEXT_FIELD, *, encoding: str | None = None
) -> Iterator[Document]:
    """Yield the texts of a file in order.

    Of JSONL (.jsonl, .ndjson) and CSV (.csv, .tsv), a text a record, with its other fields as metadata and its ``id``
    or ``_id`` as id (``line-7`` where it has none); of any other file, a text a line that is not blank, with the line's
    number as id.

    Args:
        file: Path; ``"-"`` for the lines of standard input.
        text_field: Name of the text's field in records.
        encoding: Of the file; ``None`` to find out.

    Raises:
        DocumentError: The file cannot be read, or a record has no text; the message says which one.
        InvalidOptionError: Python has no such encoding.
    """
    path = os.fspath(file)
    suffix = "" if path == STANDARD_INPUT else Path(path).suffix.lower()
    with opened_text(path, encoding) as (stream, found):
        if suffix in JSONL_SUFFIXES or suffix in CSV_DELIMITERS:
            yield from _of_records(suffix, stream, text_field, found)
        else:
            yield from _of_lines(stream, found)


@contextmanager
def opened_text(path: str, encoding: str | None) -> Iterator[tuple[BinaryIO, Encoding]]:
    """Open a file, or standard input, and find out its encoding; what goes wrong inside is told with its name.

    Args:
        path: ``"-"`` for standard input.
        encoding: ``None`` to find out.

    Raises:
        DocumentError: The file cannot be opened, or what is done with it failed.
        InvalidOptionError: Python has no such encoding.
    """
    known = None if encoding is None else checked_encoding(encoding)
    try:
        with closing(_standard_input() if path == STANDARD_INPUT else opened(path)) as stream:
            yield stream, known or first_guess(stream)[0]
    except (OSError, UnicodeError, DocumentError) as error:
        raise DocumentError(f"{path}: {one_line(error)}") from error


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise DocumentError("standard input is closed; give a file")
    return BytesIO(sys.stdin.buffer.read())


def _of_records(suffix: str, stream: BinaryIO, text_field: str, encoding: Encoding) -> Iterator[Document]:
    for record in record_documents("", suffix, stream, text_field, encoding):
        if isinstance(record, Failure):
            raise DocumentError(record.reason)
        yield Document(record.id.removeprefix("#"), record.text, record.metadata)


def _of_lines(stream: BinaryIO, encoding: Encoding) -> Iterator[Document]:
    for number, line in enumerate(decoded_lines(stream, encoding, newline=""), 1):
        text = line.rstrip("\r\n")
        if text.strip():
            check_no_zeros(text.encode("utf-8", "replace"), encoding)
            yield Document(str(number), text)
