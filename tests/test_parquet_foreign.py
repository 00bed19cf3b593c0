"""Parquet files of other tools, and damaged and untrustworthy ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parquet_files import SAID, write
from rewriting import contents
from stores import local_client

from minilm_retrieval.errors import InvalidOptionError, TransferError
from minilm_retrieval.maintenance import import_collection
from minilm_retrieval.store.collection import space_of
from minilm_retrieval.store.stored_function import stored_function


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return local_client(tmp_path / "store")


def test_a_file_of_another_tool(client: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "f.parquet", document=["x", None], extra=[1, 2])
    with pytest.raises(InvalidOptionError, match="give a name"):
        import_collection(file, client)
    assert import_collection(file, client, "docs", space="l2").written == 2
    collection = client.get_collection("docs", embedding_function=None)
    assert (space_of(collection), contents(collection)) == ("l2", {"a": ("x", None), "b": (None, None)})
    import_collection(file, client, "cosine")
    assert space_of(client.get_collection("cosine")) == "cosine"


BROKEN = [
    ({"id": ["a", "a"]}, "'a' comes twice"),
    ({"id": ["a", None]}, "row 1 has no id"),
    ({"id": [1, 2]}, "column 'id' is int64; expected a string"),
    ({"embedding": [[1.0, 2.0], [3.0]]}, "'b' has 1 numbers, those before it 2"),
    ({"embedding": [[1.0, 2.0], [3.0, float("nan")]]}, "'b' has numbers that are not finite"),
    ({"embedding": [[1.0, 2.0], [3.0, 1e300]]}, "'b' has numbers that are not finite"),
    ({"embedding": [[1.0, 2.0], None]}, "'b' has no vector"),
    ({"embedding": [[1.0, 2.0], [None, 1.0]]}, "'b' has no vector, or one with gaps"),
    ({"embedding": ["1", "2"]}, "expected a list of floating-point numbers"),
    ({"metadata": ["{}", "{"]}, "metadata of 'b' is not JSON"),
    ({"metadata": ["{}", "[1]"]}, "metadata of 'b' must be a JSON object"),
    ({"metadata": ["{}", '{"x": NaN}']}, "metadata of 'b' cannot be stored by Chroma: 'x' is nan"),
    ({"metadata": ["{}", '{"x": {"y": 1}}']}, "'x' is a dict"),
    ({"metadata": ["{}", '{"$ref": 1}']}, "key '.ref' is empty, starts with"),
    ({"metadata": ["{}", '{"chroma:document": "x"}']}, "key 'chroma:document'"),
    ({"metadata": ["{}", "[" * 100_000]}, "metadata of 'b' is not JSON"),
    ({"document": pa.array([b"a", b"\xff"]).view(pa.string())}, "cannot be read as a whole Parquet file.*utf-8"),
    ({"metadata": [{"x": 1}, {"x": 2}]}, "expected a string with a JSON object"),
    ({"said": "{"}, "not readable"),
    ({"said": {"format": 2}}, "reads 1"),
    ({"said": {"format": 1}}, "settings are not readable"),
    ({"said": SAID | {"space": "x"}}, "expected one of"),
    ({"said": SAID | {"function": {"name": "minilm_retrieval", "config": {"path": "/etc"}}}}, "unknown key 'path'"),
    ({"said": SAID | {"function": {"name": "minilm_retrieval", "config": {"fingerprint": "ff"}}}}, "fingerprint ff"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_what_cannot_be_stored_is_refused_before_anything_is(
    client: Any, tmp_path: Path, change: Any, message: str
) -> None:
    with pytest.raises(TransferError, match=message):
        import_collection(write(tmp_path / "f.parquet", **change), client, "docs")
    assert client.list_collections() == []


def test_damaged_files(client: Any, tmp_path: Path) -> None:
    whole = write(tmp_path / "f.parquet").read_bytes()
    broken = bytearray(whole)
    broken[4:40] = b"\xff" * 36
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:-10], bytes(broken)):
        (tmp_path / "f.parquet").write_bytes(content)
        with pytest.raises(TransferError, match=r"f\.parquet"):
            import_collection(tmp_path / "f.parquet", client, "docs")
    with pytest.raises(TransferError, match="cannot be read"):
        import_collection(tmp_path / "missing.parquet", client, "docs")
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "f.parquet")
    with pytest.raises(TransferError, match=r"no column 'id'.*has: text"):
        import_collection(tmp_path / "f.parquet", client, "docs")
    assert client.list_collections() == []


def test_a_files_settings_are_not_trusted(client: Any, tmp_path: Path) -> None:
    said = SAID | {
        "index": {"hnsw": {"max_neighbors": 10**9, "ef_search": 50, "ef_construction": "x", "num_threads": 4000}},
        "metadata": {"a": 1, "minilm_rewriting": "{}", "hnsw:space": "l2", "nested": {}},
        "function": {"name": "sentence_transformer", "config": {"kwargs": {"trust_remote_code": True}}},
    }
    report = import_collection(write(tmp_path / "f.parquet", said), client)
    assert "'sentence_transformer' is not recorded" in str(report.note)
    collection = client.get_collection("docs", embedding_function=None)
    assert stored_function(collection).name is None
    assert collection.metadata == {"a": 1}
    settings = collection.configuration_json["hnsw"]
    assert (settings["space"], settings["max_neighbors"], settings["ef_search"]) == ("ip", 16, 50)


def test_default_function(tmp_path: Path, client: Any) -> None:
    said = SAID | {"function": {"name": "default", "config": {}}}
    import_collection(write(tmp_path / "f.parquet", said), client)
    assert stored_function(client.get_collection("docs", embedding_function=None)).name == "default"
