"""What every route does with a body, and with time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgi import asgi_application, asgi_client
from fake_engine import FakeEngine

from minilm_retrieval.server import ServerOptions, create_app
from minilm_retrieval.server.batcher import QueueFullError


async def test_a_request_that_takes_too_long_is_given_up(fake_engine: FakeEngine) -> None:
    app = create_app(options=ServerOptions(timeout=0.05))
    async with asgi_application(app) as client:
        service = app.state.minilm.service
        ended = asyncio.Event()

        async def slow(*texts: Any) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

        service.embed = slow
        response = await client.post("/v1/embeddings", json={"input": "a"})
        assert (response.status_code, response.json()["error"]["code"]) == (503, "timeout")
        assert response.headers["retry-after"] == "1"
        assert "0.05 s (timeout)" in response.json()["error"]["message"]
        await asyncio.wait_for(ended.wait(), 5)


@pytest.mark.parametrize("body", [b'{"input": "a"}', b"no JSON, and never read"])
async def test_a_full_queue_refuses_before_it_reads(body: bytes, fake_engine: FakeEngine) -> None:
    app = create_app()
    async with asgi_application(app) as client:
        service = app.state.minilm.service

        def full() -> None:
            raise QueueFullError("9 requests wait already, and at most 9 may", 2.2)

        service.check_room = full
        response = await client.post("/v1/embeddings", content=body)
        assert response.status_code == 429
        assert (response.headers["retry-after"], response.headers["retry-after-ms"]) == ("3", "2200")
        error = response.json()["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
        assert "9 requests wait already" in error["message"]


async def test_a_failure_of_the_server_tells_nothing_of_itself(
    fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*arguments: Any) -> None:
        raise RuntimeError("a private detail")

    monkeypatch.setattr("minilm_retrieval.server.service.EmbeddingService.embed", broken)
    async with asgi_client() as client:
        response = await client.post("/v1/embeddings", json={"input": "a"})
        assert response.status_code == 500
        assert response.json()["error"]["type"] == "server_error"
        assert "private" not in response.text
        assert (await client.get("/health")).status_code == 200
