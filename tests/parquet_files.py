"""Parquet files of collections, and of other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

METADATA: list[Any] = [
    {"text": "ümlaut", "whole": 2**53 + 1, "number": 1.0, "truth": False, "many": [1, 2], "flags": [True], "f": [0.5]},
    None,
    {"a": 1},
]
SAID = {
    "format": 1,
    "collection": "docs",
    "space": "ip",
    "index": {"hnsw": {"max_neighbors": 24}},
    "metadata": {"a": 1},
    "function": {"name": None, "config": {}},
}


def three(client: Any, **options: Any) -> Any:
    collection = client.create_collection(
        "docs", embedding_function=None, configuration={"hnsw": {"space": "l2", "max_neighbors": 20}}, **options
    )
    collection.add(
        ids=["a", "b", "c"],
        embeddings=list(np.float32([[1e-30, 3.3333333, -7], [0, 0, 0.1], [1, 2, 3]])),
        documents=["text\n", None, ""],
        metadatas=METADATA,
        uris=[None, "file:///b", None],
    )
    return collection


def write(file: Path, said: Any = None, **columns: Any) -> Path:
    table = pa.table({"id": ["a", "b"], "embedding": [[1.0, 2.0], [3.0, 4.0]]} | columns)
    if said is not None:
        text = said if isinstance(said, str) else json.dumps(said)
        table = table.replace_schema_metadata({"minilm_retrieval": text})
    pq.write_table(table, file)
    return file
