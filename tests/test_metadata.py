from __future__ import annotations

import json
import math
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import chromadb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilm_retrieval.errors import DocumentError, InvalidOptionError
from minilm_retrieval.ingest import MetadataPolicy


class Colour(Enum):
    RED = "red"


KEPT: dict[str, Any] = {
    "text": "a",
    "empty": "",
    "integer": -(2**63),
    "float": 0.5,
    "truth": True,
    "list": ["a", "b"],
    "numbers": [1, 2],
}
CONVERTED = [
    (date(2026, 1, 2), "2026-01-02"),
    (datetime(2026, 1, 2, 3, tzinfo=timezone.utc), "2026-01-02T03:00:00+00:00"),
    ({"a": [1, None]}, '{"a": [1, null]}'),
    ([1, "a"], '[1, "a"]'),
    ([1, 2.5], "[1, 2.5]"),
    ([["a"]], '[["a"]]'),
    ([date(2026, 1, 2)], '["2026-01-02"]'),
    ({"b", "a"}, '["a", "b"]'),
    (2**63, "9223372036854775808"),
    (Decimal("1.50"), "1.50"),
    (Decimal("sNaN"), "sNaN"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ([None], "[null]"),
    (np.datetime64("2024-01-01", "ns"), "2024-01-01T00:00:00"),
    (np.datetime64("2024-01-01T00:00:00.000000001", "ns"), "2024-01-01T00:00:00.000000001"),
    (np.datetime64("2024-01-01"), "2024-01-01"),
    (np.datetime64("12024-01-01"), "12024-01-01"),
    (np.timedelta64(5_000_000_000, "ns"), "0:00:05"),
    (np.timedelta64(5, "ns"), "5 nanoseconds"),
    (np.array(["2024-01-01"], "datetime64[ns]"), '["2024-01-01T00:00:00"]'),
    (np.array([["2024-01-01"]], "datetime64[ns]"), '[["2024-01-01T00:00:00"]]'),
    (np.array("2024-01-01", "datetime64[ns]"), "2024-01-01T00:00:00"),
    ({"a": np.int64(1), "b": [np.float32(1), Colour.RED]}, '{"a": 1, "b": [1.0, "red"]}'),
    ([{"a": np.array([1, 2]), "b": np.datetime64("NaT")}], '[{"a": [1, 2], "b": null}]'),
    ([np.int64(1), np.float32(1)], "[1, 1.0]"),
    ([np.datetime64("NaT")], "[null]"),
]


def test_what_chroma_stores_is_kept() -> None:
    for policy in ("convert", "drop", "error"):
        assert MetadataPolicy(policy).apply(KEPT) == (KEPT, [])


@pytest.mark.parametrize("policy", ["convert", "drop", "error"])
def test_nothing_is_left_out_without_a_word(policy: str) -> None:
    assert MetadataPolicy(policy).apply({"a": None, "b": [], "c": {}, "d": ()}) == ({}, [])


def test_values_of_numpy_tuples_and_enumerations_are_what_they_hold() -> None:
    metadata = {
        "i": np.int64(3),
        "f": np.float32(0.5),
        "b": np.bool_(True),
        "t": (1, 2),
        "a": np.array([1.5]),
        "e": Colour.RED,
        "li": [np.int64(1), np.int64(2)],
        "lf": (np.float32(1), 2.0),
        "lb": [np.bool_(True)],
        "le": [Colour.RED],
        "z": np.array(1),
    }
    stored, notes = MetadataPolicy("error").apply(metadata)
    expected = {"i": 3, "f": 0.5, "b": True, "t": [1, 2], "a": [1.5], "e": "red"}
    assert stored == expected | {"li": [1, 2], "lf": [1.0, 2.0], "lb": [True], "le": ["red"], "z": 1}
    types = [int, float, bool, list, list, str, list, list, list, list, int]
    assert [type(value) for value in stored.values()] == types
    assert [type(stored[key][0]) for key in ("li", "lf", "lb", "le")] == [int, float, bool, str]
    assert notes == []


@pytest.mark.parametrize("policy", ["convert", "drop", "error"])
def test_times_that_are_none_are_left_out(policy: str) -> None:
    class Unequal:
        def __ne__(self, other: object) -> bool:
            return True

    missing = {"d": np.datetime64("NaT"), "n": np.datetime64("NaT", "ns"), "t": np.timedelta64("NaT"), "u": Unequal()}
    assert MetadataPolicy(policy).apply(missing) == ({}, [])


def test_values_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    assert MetadataPolicy("error").apply({"a": pandas.NaT, "b": pandas.NA}) == ({}, [])
    moments = {"a": pandas.Timestamp("2024-01-01"), "b": [pandas.NaT, pandas.NA], "c": {"d": pandas.NaT}}
    stored, notes = MetadataPolicy().apply(moments)
    assert stored == {"a": "2024-01-01T00:00:00", "b": "[null, null]", "c": '{"d": null}'}
    assert len(notes) == 3
    assert MetadataPolicy().apply({"a": pandas.Series([1, 2])})[1] == ["'a' stored as text"]


def test_numbers_of_more_digits_than_python_has_are_text() -> None:
    assert MetadataPolicy().apply({"a": np.longdouble(1), "b": {"c": np.longdouble(1)}})[0] == {
        "a": "1.0",
        "b": '{"c": "1.0"}',
    }


@pytest.mark.parametrize(("value", "text"), CONVERTED, ids=[str(type(value).__name__) for value, _ in CONVERTED])
def test_other_values_follow_the_policy(value: Any, text: str) -> None:
    assert MetadataPolicy().apply({"k": value, "x": 1}) == ({"k": text, "x": 1}, ["'k' stored as text"])
    assert MetadataPolicy("drop").apply({"k": value, "x": 1}) == ({"x": 1}, ["'k' left out"])
    with pytest.raises(DocumentError, match="metadata 'k'"):
        MetadataPolicy("error").apply({"k": value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("nan")]])
def test_numbers_that_are_not_finite(value: Any) -> None:
    stored, notes = MetadataPolicy().apply({"k": value})
    assert stored == ({} if isinstance(value, float) else {"k": "[1.0, NaN]"})
    assert len(notes) == 1
    with pytest.raises(DocumentError, match=r"'k' is (nan|inf)"):
        MetadataPolicy("error").apply({"k": value})


def test_keys_that_indexing_writes_are_renamed() -> None:
    stored, notes = MetadataPolicy().apply(
        {"source": "web", "start": {"a": 1}, "chroma:document": "x", 7: "seven", "$ref": 1}
    )
    assert stored == {"source_": "web", "start_": '{"a": 1}', "chroma_document": "x", "7": "seven", "_ref": 1}
    assert "'source' stored as 'source_'" in notes
    with pytest.raises(DocumentError, match="'source' is written by indexing"):
        MetadataPolicy("error").apply({"source": "web"})
    with pytest.raises(DocumentError, match="'source_', which is there already"):
        MetadataPolicy().apply({"source": "web", "source_": "x"})


def test_text_is_the_same_in_every_run() -> None:
    """Passages' ids depend on it."""
    first, _ = MetadataPolicy().apply({"k": {"b": 1, "a": {2, "1", 1}}})
    second, _ = MetadataPolicy().apply({"k": {"a": {"1", 1, 2}, "b": 1}})
    assert first == second == {"k": '{"a": [1, 2, "1"], "b": 1}'}


def test_what_has_no_text_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for value in (object(), {"a": object()}, {(1, 2): 3}, {"a": 1, 2: 3}, circle, deep):
        with pytest.raises(DocumentError, match="metadata"):
            MetadataPolicy().apply({"k": value})


def test_lone_surrogates_are_replaced() -> None:
    assert MetadataPolicy("error").apply({"k": "a\ud800"}) == ({"k": "a\ufffd"}, [])
    assert MetadataPolicy().apply({"k": {"a": "\ud800"}})[0] == {"k": '{"a": "\ufffd"}'}


def test_unknown_policy_and_no_mapping() -> None:
    with pytest.raises(InvalidOptionError, match="convert, drop, error"):
        MetadataPolicy("ignore")
    with pytest.raises(DocumentError, match="must be a mapping, got list"):
        MetadataPolicy().apply([("a", 1)])  # type: ignore[arg-type]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=6,
)


@given(metadata=st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_chroma_stores_whatever_the_policy_lets_through(metadata: dict[str, Any], chroma_notes: Any) -> None:
    for policy in ("convert", "drop"):
        try:
            stored, _ = MetadataPolicy(policy).apply(metadata)
        except DocumentError as refused:
            if policy == "convert" and "there already" in str(refused):
                # Two keys that would be stored under one name.
                continue
            raise
        id = uuid4().hex
        chroma_notes.upsert(ids=[id], embeddings=[[1.0]], metadatas=[{"source": "s", **stored}])
        (found,) = chroma_notes.get(ids=[id])["metadatas"]
        assert set(found) == {"source", *stored}
        for key, value in stored.items():
            # Chroma may round the last digit of a number.
            same = math.isclose(found[key], value, rel_tol=1e-15) if isinstance(value, float) else found[key] == value
            assert same or (isinstance(value, list) and np.allclose(found[key], value, rtol=1e-15, atol=0))
        json.dumps(stored, allow_nan=False)


@pytest.fixture
def chroma_notes(tmp_path: Path) -> Any:
    return chromadb.PersistentClient(str(tmp_path)).create_collection("notes", embedding_function=None)
