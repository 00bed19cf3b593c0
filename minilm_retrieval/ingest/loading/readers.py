"""Files into documents: plain text, JSONL, CSV, and what the converter makes of other types."""

from __future__ import annotations

import csv
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from textwrap import shorten
from typing import Any, BinaryIO, TypeVar

from minilm_retrieval.errors import DocumentError, MissingExtraError
from minilm_retrieval.ingest.documents import Document, Failure, Skipped
from minilm_retrieval.ingest.loading.converter import CONVERTED_SUFFIXES, to_markdown
from minilm_retrieval.ingest.loading.decoding import (
    Encoding,
    NotTextError,
    check_no_zeros,
    decode,
    decoded_lines,
    find_encoding,
)
from minilm_retrieval.ingest.loading.names import one_line
from minilm_retrieval.ingest.loading.walk import NOT_REGULAR, SourceFile

MARKDOWN_SUFFIXES = frozenset({".md", ".markdown"})
TEXT_SUFFIXES = frozenset({".txt", ".text", ".rst"}) | MARKDOWN_SUFFIXES
JSONL_SUFFIXES = frozenset({".jsonl", ".ndjson"})
CSV_DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = TEXT_SUFFIXES | JSONL_SUFFIXES | CSV_DELIMITERS.keys() | CONVERTED_SUFFIXES
_ID_FIELDS = ("id", "_id")
# From this much of a file its encoding is found out, for a file of records for good: the rest is read line by line.
_BEGINNING_BYTES = 1 << 20
_CSV_FIELD_LIMIT = 2**31 - 1
# A wrong option makes every record of a file fail; so many of them say enough.
_MOST_FAILURES = 100
_SHOWN_CHARACTERS = 200

_T = TypeVar("_T")


def read_file(file: SourceFile, text_field: str, encoding: Encoding | None) -> Iterator[Document | Failure | Skipped]:
    """Yield the documents of a file, by its suffix; one of an unknown suffix is read as plain text.

    Args:
        file: Which.
        text_field: Name of the text's field in records.
        encoding: Of its text; ``None`` to find out.
    """
    try:
        with opened(file.path) as stream:
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
    if encoding is not None and suffix not in CONVERTED_SUFFIXES:
        check_no_zeros(stream.read(_BEGINNING_BYTES), encoding)
        stream.seek(0)
    if suffix in CONVERTED_SUFFIXES:
        text, metadata = to_markdown(stream.read(), suffix, encoding)
        yield Document(source, text, metadata, "markdown")
    elif suffix in JSONL_SUFFIXES or suffix in CSV_DELIMITERS:
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


def record_documents(
    source: str, suffix: str, stream: BinaryIO, text_field: str, encoding: Encoding
) -> Iterator[Document | Failure]:
    """Yield a document for each record of a JSONL or CSV file, and a failure for each that has none."""
    if suffix in JSONL_SUFFIXES:
        records = jsonl_records(decoded_lines(stream, encoding, newline="\n"))
    else:
        records = csv_records(decoded_lines(stream, encoding, newline=""), CSV_DELIMITERS[suffix], text_field)
    failures = 0
    for number, record in records:
        try:
            yield _record_document(source, number, record, text_field, encoding)
        except DocumentError as error:
            failures += 1
            if failures <= _MOST_FAILURES:
                # Of the whole file: the document that this record was before is not gone.
                yield Failure(source, f"line {number} {error}")
    if failures > _MOST_FAILURES:
        yield Failure(source, f"{failures - _MOST_FAILURES} more records failed, {failures} in all")


def jsonl_records(lines: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """Yield the values of JSONL with the numbers of their lines; in the place of one that is no JSON, the error."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, DocumentError(f"is not JSON: {error}")


def csv_records(
    lines: Iterator[str], delimiter: str, text_field: str | None = None, *, quoted: bool = True
) -> Iterator[tuple[int, Any]]:
    """Yield the rows of CSV with the numbers of their lines; in the place of one with too many fields, the error.

    Args:
        lines: With their ends.
        delimiter: Between fields.
        text_field: A column that there has to be.
        quoted: Whether a quotation mark encloses a field, or is a character as any other.

    Raises:
        DocumentError: There is no such column, several have one name, or it is not CSV.
    """
    reader = csv.DictReader(
        lines, delimiter=delimiter, strict=True, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    )
    header = _unlimited(reader, lambda: reader.fieldnames)
    if header is None:
        return
    if text_field is not None and text_field not in header:
        raise DocumentError(f"has no column {text_field!r}; its columns are {_shown(header)}")
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise DocumentError(f"has several columns of the name {_shown(repeated)}")
    while (row := _unlimited(reader, lambda: next(reader, None))) is not None:
        extra = list(row.pop(None, None) or ())
        # A column of no name, such as the one for row numbers, cannot be stored under one.
        row.pop("", None)
        yield reader.line_num, DocumentError(f"has more fields than the header: {_shown(extra)}") if any(extra) else row


def _shown(names: Iterable[str]) -> str:
    return shorten(", ".join(map(repr, names)), _SHOWN_CHARACTERS, placeholder=" ...")


def _unlimited(reader: csv.DictReader[str], read: Callable[[], _T]) -> _T:
    """Read with no limit to a field's length, and leave the limit, which is the whole process's, as it was."""
    limit = csv.field_size_limit(_CSV_FIELD_LIMIT)
    try:
        return read()
    except csv.Error as error:
        raise DocumentError(f"is not CSV near line {reader.line_num}: {error}") from error
    finally:
        csv.field_size_limit(limit)


def _record_document(source: str, number: int, record: Any, text_field: str, encoding: Encoding) -> Document:
    if isinstance(record, DocumentError):
        raise record
    if not isinstance(record, dict):
        raise DocumentError(f"is a {type(record).__name__}, expected an object with the field {text_field!r}")
    if not isinstance(record.get(text_field), str):
        raise DocumentError(f"has no text in the field {text_field!r}; its fields are {_shown(record)}")
    own_id = next((record[name] for name in _ID_FIELDS if record.get(name) not in (None, "")), f"line-{number}")
    metadata = {key: value for key, value in record.items() if key != text_field and key not in _ID_FIELDS}
    return Document(f"{source}#{own_id}", record[text_field], {**encoding.metadata, **metadata})
