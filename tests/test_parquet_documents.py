"""Rows of Parquet files as documents, as those of CSV and JSONL are."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from fake_engine import FakeEngine
from stores import local_client

from minilm_retrieval import Document, MiniLMEmbedder, index_documents, open_collection
from minilm_retrieval.ingest import load_documents
from minilm_retrieval.ingest.documents import Failure, Skipped


def write(file: Path, columns: dict[str, Any]) -> str:
    pyarrow.parquet.write_table(pyarrow.table(columns), file, row_group_size=2)
    return str(file)


def loaded(path: str, text_field: str = "text") -> list[Document | Failure | Skipped]:
    return list(load_documents([path], text_field))


def test_rows_are_documents(tmp_path: Path) -> None:
    file = write(
        tmp_path / "posts.parquet",
        {
            "id": ["a", None, "c"],
            "body": ["first", "second", "third"],
            "year": [2001, 2002, None],
            "tags": [["x", "y"], [], None],
            "day": [date(2001, 2, 3), None, None],
            "embedding": pyarrow.array([[1.0, 0.5]] * 3, pyarrow.list_(pyarrow.float32(), 2)),
        },
    )
    found = loaded(file, "body")
    assert all(isinstance(item, Document) for item in found)
    documents = [item for item in found if isinstance(item, Document)]
    assert [document.id for document in documents] == [f"{file}#a", f"{file}#row-2", f"{file}#c"]
    assert [document.text for document in documents] == ["first", "second", "third"]
    assert documents[0].metadata == {"year": 2001, "tags": ["x", "y"], "day": date(2001, 2, 3)}
    assert "embedding" not in documents[0].metadata


def test_rows_are_indexed_and_recognised(tmp_path: Path, fake_engine: FakeEngine, embedder: MiniLMEmbedder) -> None:
    file = write(tmp_path / "posts.parquet", {"id": [1, 2], "text": ["one", "two"], "day": [date(2001, 2, 3)] * 2})
    collection = open_collection("docs", client=local_client(tmp_path / "chroma"), create=True, embedder=embedder)
    assert index_documents(collection, load_documents([file]), embedder).added == 2
    assert index_documents(collection, load_documents([file]), embedder).unchanged == 2
    assert {metadata["day"] for metadata in collection.get()["metadatas"] or []} == {"2001-02-03"}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"body": ["one"]}, "has no column 'text'; its columns are 'body'"),
        ({"text": [1]}, "row 1 has no text in the field 'text'"),
    ],
)
def test_what_is_no_text(tmp_path: Path, columns: dict[str, Any], expected: str) -> None:
    (failure,) = loaded(write(tmp_path / "posts.parquet", columns))
    assert isinstance(failure, Failure)
    assert expected in failure.reason


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    file = Path(write(tmp_path / "posts.parquet", {"text": ["one"] * 1000}))
    file.write_bytes(file.read_bytes()[:-20])
    (failure,) = loaded(str(file))
    assert isinstance(failure, Failure)
    assert "is not a whole Parquet file" in failure.reason
