"""Results as files for spreadsheets and programs: CSV and JSONL, written as they come."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from minilm_retrieval.errors import DocumentError, InvalidOptionError
from minilm_retrieval.whole_files import whole_file

TABLES = (".csv", ".jsonl")


def check_output(file: str | os.PathLike[str], suffixes: Sequence[str]) -> None:
    """Check before long work that a file can be written.

    Args:
        file: Its path.
        suffixes: What its name may end in.

    Raises:
        InvalidOptionError: Its name ends in something else.
        DocumentError: Its directory does not exist, or it is a directory itself.
    """
    path = Path(file)
    if path.suffix.lower() not in suffixes:
        raise InvalidOptionError(
            f"The name of an output file must end in {' or '.join(suffixes)}, got {os.fspath(file)!r}."
        )
    if not path.parent.is_dir():
        raise DocumentError(f"{os.fspath(file)} cannot be written: there is no directory {path.parent}.")
    if path.is_dir():
        raise DocumentError(f"{os.fspath(file)} cannot be written: it is a directory.")


def save_table(file: str | os.PathLike[str], fields: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows to a CSV file with a line of names, or to a JSONL file as objects.

    Args:
        file: Ends in ``.csv`` or ``.jsonl``.
        fields: Names of the columns.
        rows: One value for each of them.

    Raises:
        InvalidOptionError: The name ends in something else.
        DocumentError: The file cannot be written; one of that name is as it was.
    """
    check_output(file, TABLES)
    try:
        with (
            whole_file(file) as unfinished,
            unfinished.open("w", encoding="utf-8", errors="replace", newline="") as stream,
        ):
            if Path(file).suffix.lower() == ".csv":
                writer = csv.writer(stream)
                writer.writerow(fields)
                writer.writerows(rows)
            else:
                for row in rows:
                    stream.write(json.dumps(dict(zip(fields, row, strict=True)), ensure_ascii=False) + "\n")
    except OSError as error:
        raise DocumentError(f"{os.fspath(file)} cannot be written: {error.strerror or error}") from error
