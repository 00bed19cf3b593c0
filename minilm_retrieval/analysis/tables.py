"""Results as files for spreadsheets and programs: CSV and JSONL, written as they come."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from minilm_retrieval.errors import DocumentError
from minilm_retrieval.output_files import check_output
from minilm_retrieval.whole_files import whole_file

TABLES = (".csv", ".jsonl")


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
