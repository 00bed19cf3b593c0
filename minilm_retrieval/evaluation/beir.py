"""Collections with judged answers, in the layout of BEIR: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from minilm_retrieval.errors import DocumentError
from minilm_retrieval.evaluation.records import id_in, listed, read_records, text_in

CORPUS = "corpus.jsonl"
QUERIES = "queries.jsonl"
JUDGEMENTS = "qrels"
DEFAULT_SPLIT = "test"
LAYOUT = (
    f"{CORPUS} (_id, title, text), {QUERIES} (_id, text) and {JUDGEMENTS}/SPLIT.tsv (query-id, corpus-id, score), as "
    "BEIR has them"
)
_FIELDS = ("query-id", "corpus-id", "score")
_SHOWN = 3


@dataclass(frozen=True)
class JudgedCollection:
    """Documents, queries, and which documents answer which queries.

    Attributes:
        directory: Where it lies; the documents' texts are read from there when they are needed.
        document_ids: Of all documents, in the order of the file.
        query_ids: Of the queries that have judgements, in the order of the file.
        queries: Their texts.
        judgements: For each query's id the grades of documents, by id.
    """

    directory: Path
    document_ids: list[str]
    query_ids: list[str]
    queries: list[str]
    judgements: Mapping[str, Mapping[str, int]]

    def documents(self) -> Iterator[str]:
        """Yield the documents' texts in order: title and text, with a space between.

        Raises:
            DocumentError: The file cannot be read.
        """
        for _, text in _entries(self.directory / CORPUS):
            yield text

    @property
    def judgement_count(self) -> int:
        """How many judgements there are."""
        return sum(map(len, self.judgements.values()))


def read_collection(directory: str | os.PathLike[str], split: str = DEFAULT_SPLIT) -> JudgedCollection:
    """Read a collection in the layout of BEIR, all but its documents' texts.

    Queries without judgements are left out, as by the standard tools.

    Args:
        directory: Holds the files.
        split: Which file of judgements to take.

    Raises:
        DocumentError: A file is missing or cannot be read, an id occurs twice or is unknown, or a grade is no whole
            number; the message says where.
    """
    folder = Path(os.fspath(directory))
    _check_layout(folder, split)
    document_ids = [id for id, _ in _entries(folder / CORPUS)]
    texts = dict(_entries(folder / QUERIES))
    judgements = _read_judgements(folder / JUDGEMENTS / f"{split}.tsv")
    _check_known(folder, split, "queries", judgements, texts, QUERIES)
    judged = (document for grades in judgements.values() for document in grades)
    _check_known(folder, split, "documents", judged, set(document_ids), CORPUS)
    query_ids = [query for query in texts if query in judgements]
    return JudgedCollection(folder, document_ids, query_ids, [texts[query] for query in query_ids], judgements)


def _check_layout(folder: Path, split: str) -> None:
    if not folder.is_dir():
        raise DocumentError(f"{folder}: no such directory; expected one with {LAYOUT}.")
    for name in (CORPUS, QUERIES):
        if not (folder / name).is_file():
            raise DocumentError(f"{folder}: has no {name}; expected {LAYOUT}.")
    if not (folder / JUDGEMENTS / f"{split}.tsv").is_file():
        there = sorted(file.stem for file in (folder / JUDGEMENTS).glob("*.tsv"))
        hint = f"There are judgements for --split {' and '.join(there)}." if there else f"Expected {LAYOUT}."
        raise DocumentError(f"{folder}: has no {JUDGEMENTS}/{split}.tsv. {hint}")


def _entries(file: Path) -> Iterator[tuple[str, str]]:
    """Yield ids and texts; a text has its title, if there is one, before it."""
    seen: set[str] = set()
    for line, record in read_records(file):
        id = id_in(record, "_id", file, line)
        if id in seen:
            raise DocumentError(f"{file}: line {line} has the id {id!r} of an earlier line.")
        seen.add(id)
        yield id, f"{record.get('title') or ''} {text_in(record, 'text', file, line)}".strip()
    if not seen:
        raise DocumentError(f"{file}: is empty.")


def _read_judgements(file: Path) -> dict[str, dict[str, int]]:
    judgements: dict[str, dict[str, int]] = {}
    for line, record in read_records(file):
        missing = [field for field in _FIELDS if field not in record]
        if missing:
            raise DocumentError(
                f"{file}: expected the columns {listed(_FIELDS)} in its first line, which has {listed(record)}."
            )
        query, document = (id_in(record, field, file, line) for field in _FIELDS[:2])
        grade = _grade(record["score"], file, line)
        if judgements.setdefault(query, {}).setdefault(document, grade) != grade:
            raise DocumentError(
                f"{file}: line {line} judges document {document!r} for query {query!r} with {grade}, and an earlier "
                f"line with {judgements[query][document]}."
            )
    if not judgements:
        raise DocumentError(f"{file}: holds no judgements.")
    return judgements


def _grade(value: str, file: Path, line: int) -> int:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not number.is_integer():
        raise DocumentError(f"{file}: line {line} has the score {value!r}; expected a whole number, the grade.")
    return int(number)


def _check_known(folder: Path, split: str, what: str, ids: Iterable[str], known: Iterable[str], place: str) -> None:
    unknown = sorted(set(ids).difference(known))
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise DocumentError(
            f"{folder}: {JUDGEMENTS}/{split}.tsv judges {what} that {place} does not have: "
            f"{listed(unknown[:_SHOWN])}{more}."
        )
