"""Stores on a Chroma server: what is tried again, for how long, and what is not; stand-ins and a real server."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import chromadb
import pytest
from stores import chroma_server
from typer.testing import CliRunner

from minilm_retrieval import MiniLMEmbedder, open_collection
from minilm_retrieval.cli.main import app
from minilm_retrieval.cli.options import Store
from minilm_retrieval.cli.serve import _stores
from minilm_retrieval.errors import InvalidOptionError, StoreError, StoreUnavailableError
from minilm_retrieval.server.stores import VectorStores
from minilm_retrieval.store.client import connect
from minilm_retrieval.store.limits import in_lots, most_results, page_size
from minilm_retrieval.store.server import reaching
from minilm_retrieval.store.threads import in_store_thread


class StandIn(ThreadingHTTPServer):
    """Answers as a server of Chroma does, but for the trouble it is told of."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.trouble: list[tuple[int, dict[str, str]]] = []
        self.counts = 0
        self.collections = 0
        self.tokens: set[str | None] = set()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    ANSWERS: ClassVar[dict[str, Any]] = {
        "heartbeat": {"nanosecond heartbeat": 1},
        "identity": {"user_id": "u", "tenant": "mine", "databases": ["notes"]},
        "pre-flight-checks": {"max_batch_size": 5000},
        "collections_count": 7,
    }

    def do_GET(self) -> None:
        last = self.path.rpartition("/")[2]
        self.server.tokens.add(self.headers.get("x-chroma-token"))
        status, headers = 200, {}
        if last == "collections_count":
            self.server.counts += 1
            if self.server.trouble:
                status, headers = self.server.trouble.pop(0)
        if last == "away":
            self.server.collections += 1
            status = 503
        if status == 0:  # A connection that breaks.
            self.connection.close()
            return
        if status == 1:  # No answer in time.
            time.sleep(1)
            return
        if status == 2:  # An answer that trickles in.
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            with suppress(OSError):
                for _ in range(1000):
                    self.wfile.write(b" ")
                    time.sleep(0.05)
            return
        body = json.dumps(self.ANSWERS.get(last, {"name": last, "id": "0" * 32, "tenant": "mine"})).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *ignored: object) -> None:
        pass


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "h", "timeout": 0},
        {"host": "h", "timeout": float("nan")},
        {"host": "h", "retry_for": -1},
        {"path": "p", "timeout": 3},
        {"path": "p", "retry_for": 3},
        {"path": "p", "api_key": "k"},
        {"host": "h", "headers": {"Authorization": "two\nlines"}},
        {"host": "h", "headers": {"no colon:": "x"}},
        {"host": "h", "api_key": "two words"},
    ],
)
def test_options_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError):
        connect(**wrong)


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


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"host": "h"}, {"host": "h", "port": None, "ssl": False, "headers": {}}),
        (
            {"host": "h", "port": 1, "ssl": True, "header": ["A: b:c"], "timeout": 2.0, "retry_for": 0.0},
            {"port": 1, "ssl": True, "headers": {"A": "b:c"}, "timeout": 2.0, "retry_for": 0.0},
        ),
        ({"path": "p", "tenant": "t", "database": "d"}, {"path": "p", "tenant": "t", "database": "d"}),
        ({}, {"path": "./chroma", "tenant": None, "database": None}),
    ],
)
def test_the_commands_options_are_the_functions(options: dict[str, Any], expected: dict[str, Any]) -> None:
    place = Store(**options).arguments()
    assert place.items() >= expected.items()
    assert set(place) <= set(inspect.signature(connect).parameters)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "p", "host": "h"}, "not several"),
        ({"host": "h", "cloud": True}, "not several"),
        ({"path": "p", "retry_for": 0.0}, "--retry-for go with --host"),
        ({"timeout": 1.0}, "--timeout"),
        ({"cloud": True}, "CHROMA_API_KEY"),
    ],
)
def test_options_that_do_not_go_together(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHROMA_API_KEY", raising=False)
    with pytest.raises(InvalidOptionError, match=message):
        Store(**options).arguments()


def test_no_message_shows_what_a_header_says() -> None:
    for header in ("Authorization Bearer SECRET", "Authorization: SECR\u00c9T", "Authorization: SECRET\nSECRET"):
        answer = CliRunner().invoke(app, ["search", "cats", "--host", "h", "--header", header])
        assert answer.exit_code == 2
        assert "SECR" not in answer.stderr


def test_a_service_does_not_wait_for_a_store_beyond_its_own_limit() -> None:
    for given, most, expected in (({}, 300.0, (60, 10)), ({}, 5.0, (5, 5)), ({"timeout": 7.0}, 30.0, (7, 10))):
        place = _stores(Store(host="h", **given), most).keywords
        assert (place["timeout"], place["retry_for"]) == expected


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
