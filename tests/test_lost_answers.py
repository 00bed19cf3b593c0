"""A Chroma server that hangs, or does what it is asked and loses the answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fake_engine import FakeEngine
from front import Front, Refusal
from stores import TOPICS

from minilm_retrieval import Document, MiniLMEmbedder, Retriever, index_documents, open_collection
from minilm_retrieval.errors import StoreError, StoreUnavailableError
from minilm_retrieval.maintenance import reembed_collection
from minilm_retrieval.store import connect

BUSY = 503, {"error": "Unavailable", "message": "shutting down"}


def reach(chroma_front: Front, **options: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": chroma_front.port, "retry_for": 30, **options}


def test_what_may_be_done_twice_is_asked_again(chroma_front: Front, fake_engine: FakeEngine) -> None:
    embedder = MiniLMEmbedder()
    collection = open_collection("notes", **reach(chroma_front), create=True, embedder=embedder)
    chroma_front.lost = ["upsert", "collections", str(collection.id)]
    report = index_documents(collection, [Document(text, text) for text in TOPICS], embedder)
    assert (report.added, report.passages_written, collection.count()) == (10, 10, 10)
    assert chroma_front.times("POST", "upsert") == 2
    open_collection("others", **reach(chroma_front), create=True, embedder=embedder)
    assert chroma_front.lost == []
    # The passages' size was noted, by the request whose answer was lost.
    assert open_collection("notes", **reach(chroma_front)).metadata == collection.metadata


def test_a_collection_that_is_deleted_is_not_missed(chroma_front: Front) -> None:
    client = connect(**reach(chroma_front))
    client.create_collection("passing", embedding_function=None)
    chroma_front.lost = ["passing"]
    client.delete_collection("passing")
    assert chroma_front.times("DELETE", "passing") == 2
    with pytest.raises(Exception, match="does not exist"):
        client.delete_collection("passing")


def test_what_may_not_be_done_twice_is_asked_once(chroma_front: Front) -> None:
    client = connect(**reach(chroma_front))
    chroma_front.lost = ["collections"]
    with pytest.raises(StoreUnavailableError, match="may have been done or not"):
        client.create_collection("single", embedding_function=None)
    assert chroma_front.times("POST", "collections") == 1
    assert client.get_collection("single", embedding_function=None).count() == 0


def test_a_rewriting_goes_through_lost_answers(chroma_front: Front, fake_engine: FakeEngine) -> None:
    embedder = MiniLMEmbedder()
    collection = open_collection("rewritten", **reach(chroma_front), create=True, embedder=embedder)
    index_documents(collection, [Document(text, text) for text in TOPICS], embedder)
    chroma_front.lost = ["upsert", "rewritten.replaced", str(collection.id)]
    reembed_collection(connect(**reach(chroma_front)), "rewritten", embedder, force=True)
    assert chroma_front.lost == []
    assert open_collection("rewritten", **reach(chroma_front)).count() == 10


def test_an_outage_that_lasts_ends_the_run_with_true_counts_and_bounded_memory(
    chroma_front: Front, fake_engine: FakeEngine
) -> None:
    """Documents are read no further than a few batches ahead of what cannot be written."""
    embedder = MiniLMEmbedder()
    collection = open_collection("stopped", **reach(chroma_front, retry_for=1), create=True, embedder=embedder)
    written = read = 0
    released = threading.Event()

    def answers(method: str, path: str, body: Any) -> Refusal | None:
        nonlocal written
        if not path.endswith("/upsert"):
            return None
        if chroma_front.times("POST", "upsert") == 1:
            written = len(body["ids"])
            return None
        released.wait(60)
        return BUSY

    def documents() -> Iterator[Document]:
        nonlocal read
        for number in range(10**9):
            read += 1
            yield Document(f"{number}", "A")

    def release_when_nothing_moves() -> None:
        before = -1
        while read != before or not read:
            before = read
            time.sleep(1.5)
        released.set()

    watching = threading.Thread(target=release_when_nothing_moves)
    chroma_front.answers = answers
    watching.start()
    with pytest.raises(StoreUnavailableError, match=r"gave no answer to \d+ tr(y|ies) in .* status 503") as caught:
        index_documents(collection, documents(), embedder)
    watching.join()
    assert f"{written} passages of this run were written and stay; run it again" in str(caught.value)
    assert collection.count() == written
    # Ten batches are written or wait to be, two thousand passages wait to be embedded, and some are embedded.
    assert read < 20_000


async def test_twenty_searches_wait_for_a_server_that_hangs_at_the_same_time(
    chroma_front: Front, fake_engine: FakeEngine
) -> None:
    embedder = MiniLMEmbedder()
    place = reach(chroma_front, timeout=20, retry_for=0)
    collection = open_collection("hung", **place, create=True, embedder=embedder)
    retriever = Retriever(collection, embedder)
    together = threading.Barrier(20)

    def hang(method: str, path: str, body: Any) -> Refusal:
        together.wait(60)
        return BUSY

    chroma_front.answers = hang
    found = await asyncio.gather(*(retriever.asearch(TOPICS[0]) for _ in range(20)), return_exceptions=True)
    assert [type(error) for error in found] == [StoreUnavailableError] * 20
    assert not together.broken


def test_a_server_that_hangs_is_given_up_in_time(chroma_front: Front, fake_engine: FakeEngine) -> None:
    free = threading.Event()
    client = connect(**reach(chroma_front, timeout=0.5, retry_for=0))
    chroma_front.answers = lambda *request: None if not free.wait(60) else BUSY
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"no answer to 1 try in .*ReadTimeout"):
        client.list_collections()
    with pytest.raises(StoreError, match="No Chroma server answers"):
        connect(**reach(chroma_front, timeout=0.5))
    chroma_front.answers = lambda method, path, body: None if path.endswith("heartbeat") or not free.wait(60) else BUSY
    with pytest.raises(StoreError, match="cannot be used"):
        connect(**reach(chroma_front, timeout=0.5))
    assert time.monotonic() - started < 20
    free.set()
