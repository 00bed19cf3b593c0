"""Files of records, JSONL, CSV or TSV, one record at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minilm_retrieval.errors import DocumentError
from minilm_retrieval.ingest.loading.decoding import decoded_lines
from minilm_retrieval.ingest.loading.records import CSV_DELIMITERS, JSONL_SUFFIXES, csv_records, jsonl_records
from minilm_retrieval.ingest.loading.texts import opened_text

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
    if suffix not in JSONL_SUFFIXES and suffix not in CSV_DELIMITERS:
        raise DocumentError(f"{path}: expected records, in a file that ends in .jsonl, .csv or .tsv.")
    with opened_text(path, encoding) as (stream, found):
        if suffix in JSONL_SUFFIXES:
            records = jsonl_records(decoded_lines(stream, found, newline="\n"))
        else:
            delimiter = CSV_DELIMITERS[suffix]
            records = csv_records(decoded_lines(stream, found, newline=""), delimiter, quoted=delimiter != "\t")
        for number, record in records:
            yield number, _checked(number, record, suffix in CSV_DELIMITERS)


def _checked(number: int, record: Any, is_row: bool) -> Record:
    if isinstance(record, DocumentError):
        raise DocumentError(f"line {number} {record}")
    if not isinstance(record, dict):
        raise DocumentError(f"line {number} is a {type(record).__name__}, expected an object.")
    if is_row and None in record.values():
        raise DocumentError(f"line {number} has fewer fields than the header: {listed(record)}.")
    return record


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
