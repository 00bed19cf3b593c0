"""Writing beside embedding: in order, bounded, and with no error lost."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine
from stores import local_client

from minilm_retrieval import Document, MiniLMEmbedder, index_documents, open_collection
from minilm_retrieval.errors import StoreError
from minilm_retrieval.store.changes import Changes


def test_changes_are_made_in_order_and_all_of_them() -> None:
    made: list[int] = []
    with Changes() as changes:
        for number in range(50):
            changes.submit(partial(made.append, number))
    assert made == list(range(50))


def test_the_caller_goes_on_but_not_far_ahead() -> None:
    free = threading.Event()
    submitted: list[int] = []

    def give() -> None:
        with Changes() as changes:
            for number in range(20):
                changes.submit(lambda: None if free.wait(30) else pytest.fail("never freed"))
                submitted.append(number)

    giver = threading.Thread(target=give)
    giver.start()
    while len(submitted) < 9:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(submitted) == 9, "one is being made, eight wait, and the next has no room"
    free.set()
    giver.join(30)
    assert len(submitted) == 20


def fail() -> None:
    raise OSError("disk full")


def test_an_error_comes_with_a_later_change_or_at_the_end() -> None:
    made: list[int] = []

    def give(after: int) -> None:
        with Changes() as changes:
            changes.submit(fail)
            for number in range(after):
                changes.submit(partial(made.append, number))

    for after in (0, 1, 5):
        with pytest.raises(OSError, match="disk full"):
            give(after)
    assert made == [], "nothing is changed after an error"


def test_an_error_of_the_callers_waits_for_what_was_given_and_stays() -> None:
    made: list[str] = []

    def slow() -> None:
        time.sleep(0.05)
        made.append("written")

    def give() -> None:
        with Changes() as changes:
            changes.submit(slow)
            raise KeyError("the caller's")

    with pytest.raises(KeyError, match="the caller's"):
        give()
    assert made == ["written"]


@pytest.fixture
def collection(tmp_path: Path) -> Any:
    return open_collection("docs", client=local_client(tmp_path), create=True)


def documents(count: int) -> list[Document]:
    return [Document(id=str(number), text=f"text {number}") for number in range(count)]


def test_indexing_embeds_while_it_writes(
    fake_engine: FakeEngine, collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 10)
    embedded = threading.Event()
    upsert = type(collection).upsert
    waited: list[bool] = []
    rows = 0

    def watched(self: Any, **arguments: Any) -> None:
        waited.append(embedded.wait(30))
        upsert(self, **arguments)

    def embed(batches: Any) -> Any:
        nonlocal rows
        for vectors in FakeEngine().embed(batches):
            rows += len(vectors)
            if rows >= 25:
                embedded.set()
            yield vectors

    monkeypatch.setattr(type(collection), "upsert", watched)
    monkeypatch.setattr(fake_engine, "embed", embed)
    report = index_documents(collection, documents(40), MiniLMEmbedder())
    assert all(waited), "the first write ended only when further chunks had been embedded"
    assert (report.added, report.passages_written, collection.count()) == (40, 40, 40)


def test_a_store_that_fails_ends_indexing_with_its_error(
    fake_engine: FakeEngine, collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 10)

    def refuse(self: Any, **arguments: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(type(collection), "upsert", refuse)
    with pytest.raises(StoreError, match=r"writing 10 passages.*disk full"):
        index_documents(collection, documents(100), MiniLMEmbedder())
    assert collection.count() == 0
