"""How often a collection is counted."""

from __future__ import annotations

from typing import Any

import pytest

from minilm_retrieval.store import counting
from minilm_retrieval.store.counting import RecordCount


class Counted:
    """A collection that notes when it was counted."""

    def __init__(self, records: int) -> None:
        self.records = records
        self.times = 0

    def count(self) -> int:
        self.times += 1
        return self.records


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still."""
    now = [1000.0]
    monkeypatch.setattr(counting.time, "monotonic", lambda: now[0])
    return now


def counted(records: int) -> tuple[Any, RecordCount]:
    collection: Any = Counted(records)
    return collection, RecordCount(collection, small=5000)


@pytest.mark.parametrize("records", [0, 1, 5000])
def test_a_small_collection_is_counted_each_time(clock: list[float], records: int) -> None:
    collection, count = counted(records)
    assert [count.get(10) for _ in range(3)] == [records] * 3
    assert collection.times == 3


def test_a_larger_one_is_counted_when_it_could_have_become_small(clock: list[float]) -> None:
    collection, count = counted(105_000)
    assert count.get(10) == 105_000
    collection.records = 12
    clock[0] += 0.99
    assert count.get(10) == 105_000
    assert collection.times == 1
    clock[0] += 0.01
    assert count.get(10) == 12
    assert collection.times == 2


def test_a_larger_one_is_counted_where_more_may_be_found_than_were_known(clock: list[float]) -> None:
    collection, count = counted(6000)
    count.get(10)
    collection.records = 9000
    assert count.get(5999) == 6000
    assert count.get(6000) == 9000
    assert collection.times == 2
