"""Files of records, JSONL, CSV or TSV, one record at a time."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minilm_retrieval.errors import DocumentError
from minilm_retrieval.ingest.loading.decoding import checked_encoding, decoded_lines
from minilm_retrieval.ingest.loading.names import one_line
from minilm_retrieval.ingest.loading.readers import CSV_DELIMITERS, JSONL_SUFFIXES, first_guess, opened

Record = dict[str, Any]


def read_records(file: str | os.PathLike[str], encoding: str | None = None) -> Iterator[tuple[int, Record]]:
    """Yield the records of a file with the numbers of their lines.

    In TSV (.tsv) a quotation mark is a character of the text, as in the published files of judged data; in CSV (.csv)
    it encloses a field. Both begin with a line of field names.

    Args:
        file: Path; its suffix says which kind it is.
        encoding: Of the file; ``None`` to find out.

    Raises:
        DocumentError: The file cannot be read, or a line is no record; the message says which one.
        InvalidOptionError: Python has no such encoding.
    """
    path = os.fspath(file)
    suffix = Path(path).suffix.lower()
    known = None if encoding is None else checked_encoding(encoding)
    if suffix not in JSONL_SUFFIXES and suffix not in CSV_DELIMITERS:
        raise DocumentError(f"{path}: expected records, in a file that ends in .jsonl, .csv or .tsv.")
    try:
        with opened(path) as stream:
            found = known or first_guess(stream)[0]
            if suffix in JSONL_SUFFIXES:
                yield from _json_records(decoded_lines(stream, found, newline="\n"))
            else:
                yield from _rows(decoded_lines(stream, found, newline=""), CSV_DELIMITERS[suffix])
    except (OSError, UnicodeError, DocumentError) as error:
        raise DocumentError(f"{path}: {one_line(error)}") from error


def text_in(record: Record, field: str, file: str | os.PathLike[str], line: int) -> str:
    """Return the text in a field.

    Raises:
        DocumentError: There is none; the message says where.
    """
    value = record.get(field)
    if not isinstance(value, str):
        raise DocumentError(
            f"{os.fspath(file)}: line {line} has no text in the field {field!r}; its fields are {listed(record)}."
        )
    return value


def id_in(record: Record, field: str, file: str | os.PathLike[str], line: int) -> str:
    """Return the id in a field, which may be a whole number.

    Raises:
        DocumentError: There is none; the message says where.
    """
    value = record.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise DocumentError(
            f"{os.fspath(file)}: line {line} has no id in the field {field!r}; its fields are {listed(record)}."
        )
    return value


def listed(names: Any) -> str:
    """Return names for a message."""
    return ", ".join(repr(name) for name in names)


def _json_records(lines: Iterator[str]) -> Iterator[tuple[int, Record]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DocumentError(f"line {number} is not JSON: {error}") from error
        if not isinstance(record, dict):
            raise DocumentError(f"line {number} is a {type(record).__name__}, expected an object.")
        yield number, record


def _rows(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, Record]]:
    reader = csv.DictReader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL, strict=True
    )
    try:
        for row in reader:
            if None in row or None in row.values():
                raise DocumentError(
                    f"line {reader.line_num} has more or fewer fields than the header, {listed(reader.fieldnames)}."
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise DocumentError(f"is not CSV near line {reader.line_num}: {error}") from error
