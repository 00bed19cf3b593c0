"""Stores on a Chroma server: what is tried again, for how long, and what is not; stand-ins and a real server."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

import chromadb
import pytest
from stand_in import StandIn
from stores import chroma_server

from minilm_retrieval import MiniLMEmbedder, open_collection
from minilm_retrieval.errors import StoreError, StoreUnavailableError
from minilm_retrieval.server.stores import VectorStores
from minilm_retrieval.store.client import connect
from minilm_retrieval.store.limits import in_lots, most_results, page_size
from minilm_retrieval.store.server import reaching
from minilm_retrieval.store.threads import in_store_thread


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("status", [429, 502, 503, 504, 0])
def test_what_may_pass_is_tried_again(stand_in: StandIn, status: int) -> None:
    client = connect(host="127.0.0.1", port=stand_in.port, retry_for=30)
    stand_in.trouble = [(status, {})] * 2
    assert client.count_collections() == 7
    assert stand_in.counts == 3


def test_a_server_that_asks_for_time_gets_it(stand_in: StandIn) -> None:
    client = connect(host="127.0.0.1", port=stand_in.port, retry_for=30)
    stand_in.trouble = [(429, {"Retry-After": "0.5"})]
    started = time.monotonic()
    client.count_collections()
    assert time.monotonic() - started >= 0.5
    date = format_datetime(datetime.now(timezone.utc) + timedelta(hours=2), usegmt=True)
    stand_in.trouble = [(429, {"Retry-After": date})]
    with pytest.raises(StoreUnavailableError, match=r"status 429.*; it asks for 7\d{3}"):
        client.count_collections()
    stand_in.trouble = [(503, {"Retry-After": "soon"})]
    assert client.count_collections() == 7
    stand_in.trouble = [(429, {"Retry-After": "99"})]
    with pytest.raises(StoreUnavailableError, match=r"status 429.*; it asks for 99 s of waiting"):
        client.count_collections()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500])
def test_a_refused_request_is_sent_once(stand_in: StandIn, status: int) -> None:
    client = connect(host="127.0.0.1", port=stand_in.port, retry_for=30)
    stand_in.trouble = [(status, {})]
    with pytest.raises(Exception):  # noqa: B017 - chromadb's own kinds
        client.count_collections()
    assert stand_in.counts == 1


@pytest.mark.parametrize(("retry_for", "tries"), [(0, 1), (0.7, 2)])
def test_no_answer_is_given_up(stand_in: StandIn, retry_for: float, tries: int) -> None:
    client = connect(host="127.0.0.1", port=stand_in.port, timeout=0.2, retry_for=retry_for)
    stand_in.trouble = [(1, {})] * 9
    with pytest.raises(StoreUnavailableError, match="gave no answer to"):
        client.count_collections()
    assert (stand_in.counts == 1) == (tries == 1)


def test_an_answer_that_trickles_in_is_given_up(stand_in: StandIn) -> None:
    client = connect(host="127.0.0.1", port=stand_in.port, timeout=0.4, retry_for=0)
    stand_in.trouble = [(2, {})]
    with pytest.raises(StoreUnavailableError, match="not complete in time"):
        client.count_collections()


def test_a_key(stand_in: StandIn) -> None:
    """It is sent, says the tenant and the database, limits the sizes, and is not shown."""
    client = connect(host="127.0.0.1", port=stand_in.port, api_key="SECRET", timeout=9, retry_for=3)
    assert stand_in.tokens == {"SECRET"}
    assert (client.tenant, client.database) == ("mine", "notes")
    assert page_size(client) == most_results(client) == 300
    assert [len(lot) for lot in in_lots(client, range(700))] == [300, 300, 100]
    again = pickle.loads(pickle.dumps(reaching(client)))
    assert (again["api_key"], again["tenant"], again["timeout"], again["retry_for"]) == ("SECRET", "mine", 9, 3)
    connect(**again)
    with pytest.raises(StoreError) as caught:
        connect(host="127.0.0.1", port=1, api_key="SECRET")
    assert "SECRET" not in str(caught.value)


def test_databases_of_a_directory(tmp_path: Path) -> None:
    open_collection("notes", path=tmp_path, database="second", create=True)
    assert [c.name for c in connect(path=tmp_path, database="second").list_collections()] == ["notes"]
    assert connect(path=tmp_path).list_collections() == []
    with pytest.raises(StoreError, match="third"):
        connect(path=tmp_path, database="third")
    with pytest.raises(StoreError, match="nobody"):
        connect(path=tmp_path, tenant="nobody")
    with pytest.raises(StoreError, match="nobody"):
        connect(path=tmp_path, tenant="nobody", database="fourth", create=True)


def test_a_database_is_made_where_the_caller_has_the_directory_open(tmp_path: Path) -> None:
    chromadb.PersistentClient(tmp_path)
    assert connect(path=tmp_path, database="second", create=True).database == "second"


async def _twenty_at_once() -> int:
    together = threading.Barrier(20)
    return len(await asyncio.gather(*(in_store_thread(together.wait, 30) for _ in range(20))))


def test_twenty_stuck_calls_hold_up_no_other() -> None:
    """Each waits until all are under way, which asyncio's own threads on two processors would never be."""
    assert asyncio.run(_twenty_at_once()) == 20


def test_databases_of_a_server(tmp_path: Path) -> None:
    with chroma_server(tmp_path) as port:
        with pytest.raises(StoreError, match="second"):
            connect(host="localhost", port=port, database="second")
        open_collection("notes", host="localhost", port=port, database="second", create=True)
        assert [c.name for c in connect(host="localhost", port=port, database="second").list_collections()] == ["notes"]
        assert connect(host="localhost", port=port).list_collections() == []
        with pytest.raises(StoreError, match="nobody"):
            connect(host="localhost", port=port, tenant="nobody", create=True)


def test_a_service_asks_a_store_that_is_away_once(stand_in: StandIn) -> None:
    embedder = MiniLMEmbedder()
    stores = VectorStores(partial(connect, host="127.0.0.1", port=stand_in.port, retry_for=0), embedder)
    with pytest.raises(StoreUnavailableError):
        stores.describe("away")
    assert stand_in.collections == 1


def test_those_who_wait_for_a_connection_share_its_failure() -> None:
    tries = 0
    waiting = threading.Barrier(8)

    def fail() -> Any:
        nonlocal tries
        tries += 1
        time.sleep(0.5)
        raise StoreUnavailableError("No Chroma server answers")

    stores = VectorStores(fail, MiniLMEmbedder())
    failures: list[StoreError] = []

    def ask() -> None:
        waiting.wait(30)
        try:
            stores.names()
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [type(error) for error in failures] == [StoreUnavailableError] * 8
    # One for all, but for those that a busy machine was late to start.
    assert tries < 8
