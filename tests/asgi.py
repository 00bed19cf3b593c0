"""The server's application without a network: a client that calls it in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.server import ServerOptions, create_app


@asynccontextmanager
async def asgi_client(
    connect: Callable[[], Any] | None = None, embedder: MiniLMEmbedder | None = None, **options: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Start an application with these options, wait until it is ready, and give a client of it."""
    async with asgi_application(create_app(embedder, ServerOptions(**options), connect)) as client:
        yield client


@asynccontextmanager
async def asgi_application(app: FastAPI, ready: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    """Start this application, wait until it is ready unless told otherwise, and give a client of it."""
    async with app.router.lifespan_context(app):
        if ready:
            await app.state.minilm.service.ready.wait()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client:
            yield client
