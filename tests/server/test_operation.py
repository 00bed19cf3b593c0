"""Around the routes: keys, request ids, health, metrics, the log, other origins, and what the framework refuses."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import warnings
from pathlib import Path

import pytest
from asgi import asgi_application, asgi_client
from fake_engine import FakeEngine

from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.server import ServerOptions, create_app, read_api_keys, set_up_logging

SECRET = "key-of-nobody-else"
TEXT = "a text that nobody else should read"


async def test_keys(fake_engine: FakeEngine) -> None:
    async with asgi_client(api_keys=("first", SECRET)) as client:
        for header in (None, "", "Bearer", "Bearer wrong", f"Basic {SECRET}", f"Bearer {SECRET}x", "Bearer ü"):
            headers = {} if header is None else {"Authorization": header.encode()}
            response = await client.post("/v1/embeddings", json={"input": TEXT}, headers=headers)
            assert response.status_code == 401
            assert response.json()["error"]["code"] == "invalid_api_key"
            assert response.headers["www-authenticate"] == "Bearer"
            assert (await client.get("/metrics", headers=headers)).status_code == 401
            assert (await client.get("/nothing", headers=headers)).status_code == 401
        for key in ("first", SECRET):
            headers = {"Authorization": f"Bearer {key}"}
            assert (await client.post("/v1/embeddings", json={"input": TEXT}, headers=headers)).status_code == 200
        for path in ("/health", "/ready", "/live", "/v1/"):
            assert (await client.get(path)).status_code == 200


async def test_any_key_will_do_where_none_is_wanted(fake_engine: FakeEngine) -> None:
    async with asgi_client() as client:
        headers = {"Authorization": "Bearer whatever"}
        assert (await client.post("/v1/embeddings", json={"input": TEXT}, headers=headers)).status_code == 200


def test_an_address_that_others_reach_wants_a_key() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(InvalidOptionError, match="wants an API key"):
            ServerOptions(host=host)
        ServerOptions(host=host, api_keys=("key",))
        ServerOptions(host=host, open_to_all=True)
    for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost"):
        ServerOptions(host=host)


def test_options_out_of_range() -> None:
    for options in (
        {"port": 70_000},
        {"max_texts": 0},
        {"max_body_bytes": 10},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"on_truncate": "cut"},
        {"api_keys": ("two words",)},
        {"api_keys": ("",)},
    ):
        with pytest.raises(InvalidOptionError, match=r"must be|is not offered"):
            ServerOptions(**options)  # type: ignore[arg-type]


def test_keys_come_from_a_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys"
    file.write_text("# of the team\nalpha\n\n  beta  \n", encoding="utf-8")
    assert read_api_keys() == ()
    assert read_api_keys(file) == ("alpha", "beta")
    monkeypatch.setenv("MINILM_API_KEYS", "gamma, alpha,")
    assert read_api_keys(file) == ("gamma", "alpha", "beta")
    file.write_text("# none\n", encoding="utf-8")
    with pytest.raises(InvalidOptionError, match="has no API key in it"):
        read_api_keys(file)
    with pytest.raises(InvalidOptionError, match="cannot be read"):
        read_api_keys(tmp_path / "absent")


async def test_request_ids(fake_engine: FakeEngine) -> None:
    async with asgi_client() as client:
        own = [(await client.get(path)).headers["x-request-id"] for path in ("/health", "/nothing", "/v1/models")]
        assert len(set(own)) == 3
        assert all(re.fullmatch(r"req_[0-9a-f]{32}", each) for each in own)
        given = await client.get("/health", headers={"x-request-id": "mine-1"})
        assert given.headers["x-request-id"] == "mine-1"
        odd = await client.get("/health", headers={"x-request-id": "a b" * 100})
        assert odd.headers["x-request-id"].startswith("req_")


async def test_only_names_of_this_machine_are_answered_without_keys(fake_engine: FakeEngine) -> None:
    async with asgi_client() as open_to_us, asgi_client(api_keys=(SECRET,)) as keyed:
        for host in ("localhost", "localhost:8444", "127.0.0.1:8444", "[::1]:8444", "app.localhost", "192.168.1.5"):
            assert (await open_to_us.get("/v1/models", headers={"Host": host})).status_code == 200
        for host in ("evil.example", "evil.example:8444", "localhost.evil.example", ""):
            refused = await open_to_us.get("/v1/models", headers={"Host": host})
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "unknown_host")
        headers = {"Host": "minilm.example", "Authorization": f"Bearer {SECRET}"}
        assert (await keyed.get("/v1/models", headers=headers)).status_code == 200


async def test_probes_may_ask_for_the_head_alone(fake_engine: FakeEngine) -> None:
    async with asgi_client() as client:
        for path in ("/health", "/ready", "/live"):
            assert (await client.head(path)).status_code == 200


async def test_unknown_paths_and_methods(fake_engine: FakeEngine) -> None:
    async with asgi_client() as client:
        missing = await client.get("/v1/chat/completions")
        assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")
        wrong = await client.get("/v1/embeddings")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        assert "GET" in wrong.json()["error"]["message"]


async def test_not_ready_until_the_model_is_loaded() -> None:
    async with asgi_application(create_app(), ready=False) as client:
        early = await client.get("/ready")
        assert early.status_code == 503
        assert (await client.get("/live")).status_code == 200
        waits = await client.post("/v1/embeddings", json={"input": TEXT})
        assert waits.status_code == 200, "a request that comes early is answered when the model is there"
        assert (await client.get("/ready")).status_code == 200


async def test_metrics(fake_engine: FakeEngine) -> None:
    async with asgi_client() as client:
        await client.post("/v1/embeddings", json={"input": ["a", "b c", "long " * 300]})
        await client.post("/v1/embeddings", json={"input": 5})
        found = (await client.get("/metrics")).text
    values = dict(line.rsplit(" ", 1) for line in found.splitlines() if not line.startswith("#"))
    assert values['minilm_requests_total{route="/v1/embeddings",status="200"}'] == "1.0"
    assert values['minilm_requests_total{route="/v1/embeddings",status="400"}'] == "1.0"
    assert (values["minilm_texts_total"], values["minilm_tokens_total"]) == ("3.0", str(3.0 + 4 + 256))
    assert values["minilm_truncated_texts_total"] == "1.0"
    assert values["minilm_queue_seconds_count"] == "3.0"
    assert float(values["minilm_batch_texts_sum"]) == 3
    assert (values["minilm_queue_requests"], values["minilm_queue_texts"]) == ("0.0", "0.0")


async def test_other_origins_are_let_in_only_where_they_are_named(fake_engine: FakeEngine) -> None:
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    async with asgi_client() as client:
        assert "access-control-allow-origin" not in (await client.options("/v1/embeddings", headers=asked)).headers
    async with asgi_client(cors_origins=("https://page.example",), api_keys=(SECRET,)) as client:
        allowed = await client.options("/v1/embeddings", headers=asked)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://page.example"
        other = await client.options("/v1/embeddings", headers={**asked, "Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers
        denied = await client.post("/v1/embeddings", json={"input": TEXT}, headers={"Origin": "https://page.example"})
        assert denied.status_code == 401
        assert denied.headers["access-control-allow-origin"] == "https://page.example", "a page can read why"


@pytest.mark.parametrize("form", ["text", "json"])
async def test_the_log_says_what_happened_and_nothing_private(
    form: str, fake_engine: FakeEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {name: list(logging.getLogger(name).handlers) for name in ("minilm_retrieval", "uvicorn")}
    showing = warnings.showwarning
    try:
        set_up_logging(form, "info")
        async with asgi_client(api_keys=(SECRET,)) as client:
            headers = {"Authorization": f"Bearer {SECRET}"}
            await client.post("/v1/embeddings", json={"input": [TEXT, TEXT + "!"]}, headers=headers)
            await client.post("/v1/embeddings", json={"input": [TEXT, 5]}, headers=headers)
            await client.post("/v1/embeddings", json={"input": TEXT}, headers={"Authorization": "Bearer other"})
            await client.get("/health")
            await client.get("/a%0a2026 INFO forged%1b[31m")
            warnings.warn("something to know", stacklevel=1)
    finally:
        for name, handlers in before.items():
            logging.getLogger(name).handlers = handlers
            logging.getLogger(name).propagate = True
        warnings.showwarning = showing
    written = capfd.readouterr().err
    assert TEXT not in written
    assert SECRET not in written
    assert "other" not in written
    assert "something to know" in written
    assert "\n2026 INFO forged" not in written
    assert "\x1b" not in written
    lines = [line for line in written.splitlines() if "/v1/embeddings" in line]
    assert len(lines) == 3, "health is asked for too often to be told each time"
    if form == "json":
        first = json.loads(lines[0])
        assert (first["status"], first["texts"], first["path"], first["level"]) == (200, 2, "/v1/embeddings", "INFO")
        assert first["tokens"] > 10
    else:
        assert re.search(
            r"INFO request client=\S+ method=POST path=/v1/embeddings status=200 seconds=\S+ texts=2", lines[0]
        )
        assert "status=401" in lines[2]


def test_unknown_log_format() -> None:
    with pytest.raises(InvalidOptionError, match="text, json"):
        set_up_logging("xml", "info")


async def test_a_client_that_goes_takes_its_texts_out_of_the_queue(fake_engine: FakeEngine) -> None:
    app = create_app()
    async with app.router.lifespan_context(app):
        service = app.state.minilm.service
        await service.ready.wait()
        entered = asyncio.Event()
        cancelled = asyncio.Event()

        async def never(*texts: object) -> None:
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        service.embed = never
        messages = asyncio.Queue()  # type: ignore[var-annotated]
        await messages.put({"type": "http.request", "body": b'{"input": "a"}', "more_body": False})
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/embeddings",
            "raw_path": b"/v1/embeddings",
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
            "scheme": "http",
            "server": ("server", 80),
            "client": ("here", 1),
            "http_version": "1.1",
            "root_path": "",
        }
        sent: list[dict[str, object]] = []

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        task = asyncio.ensure_future(app(scope, messages.get, send))  # type: ignore[arg-type]
        await asyncio.wait_for(entered.wait(), 5)
        await messages.put({"type": "http.disconnect"})
        await asyncio.wait_for(cancelled.wait(), 5)
        await asyncio.wait_for(task, 5)
        assert sent[0]["status"] == 499
