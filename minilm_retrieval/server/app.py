"""The application: routes, and what stands around them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from minilm_retrieval import __version__
from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.server import health, openai_embeddings, openai_vector_stores, tei, tei_tokens
from minilm_retrieval.server.envelope import Envelope
from minilm_retrieval.server.failures import RequestError, error_response
from minilm_retrieval.server.metrics import Metrics
from minilm_retrieval.server.options import ServerOptions
from minilm_retrieval.server.service import EmbeddingService
from minilm_retrieval.server.state import State
from minilm_retrieval.server.stores import VectorStores

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from starlette.types import ExceptionHandler

logger = logging.getLogger("minilm_retrieval.server")

_DESCRIPTION = (
    "Embeddings of all-MiniLM-L6-v2 in the form of OpenAI's API and of text-embeddings-inference, and search in stored "
    "Chroma collections in the form of OpenAI's vector stores."
)


# The load of a server is on these; the routes are known to the framework too, for the OpenAPI document.
_DIRECT = {
    "/v1/embeddings": openai_embeddings.create_embeddings,
    "/embeddings": openai_embeddings.create_embeddings,
    "/embed": tei.embed,
}


def create_app(
    embedder: MiniLMEmbedder | None = None,
    options: ServerOptions | None = None,
    connect: Callable[[], ClientAPI] | None = None,
) -> FastAPI:
    """Make the ASGI application.

    Args:
        embedder: Which model, and how it is computed; ``None`` for all-MiniLM-L6-v2.
        options: Limits and security. The address is checked, but listening is up to who runs the application.
        connect: Opens the Chroma client whose collections are searched; ``None`` for none.

    Returns:
        An application that loads the model when it starts, and takes requests meanwhile.
    """
    options = options or ServerOptions()
    metrics = Metrics()
    embedder = (embedder or MiniLMEmbedder()).quietly()
    service = EmbeddingService(embedder, options, metrics)
    unnormalized = EmbeddingService(embedder.unnormalized(), options, metrics)
    app = FastAPI(
        title="minilm-retrieval",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=_lifespan,
    )
    app.state.minilm = State(
        options, metrics, service, unnormalized, VectorStores(connect, embedder) if connect else None
    )
    for module in (openai_embeddings, openai_vector_stores, tei, tei_tokens, health):
        app.include_router(module.router)
    app.openapi = partial(_documented, app)  # type: ignore[method-assign]
    app.add_exception_handler(HTTPException, cast("ExceptionHandler", _refused))
    app.add_exception_handler(RequestValidationError, cast("ExceptionHandler", _malformed))
    app.add_middleware(Envelope, options=options, metrics=metrics, direct=_DIRECT)
    # Around the keys: a browser asks whether it may ask without one.
    if options.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "x-truncated-texts", "x-truncated-positions", "retry-after"],
        )
    return app


def _documented(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, without the framework's own form of a refusal, which is never given here."""
    if app.openapi_schema is None:
        app.openapi_schema = FastAPI.openapi(app)
        for path in app.openapi_schema["paths"].values():
            for operation in path.values():
                if "HTTPValidationError" in str(operation["responses"].get("422")):
                    del operation["responses"]["422"]
        for name in ("HTTPValidationError", "ValidationError"):
            app.openapi_schema["components"]["schemas"].pop(name, None)
    return app.openapi_schema


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    shared = app.state.minilm
    loading = asyncio.ensure_future(shared.service.start())
    loading.add_done_callback(_loaded)
    try:
        yield
    finally:
        loading.cancel()
        await asyncio.gather(shared.service.stop(), shared.unnormalized.stop())


def _loaded(loading: asyncio.Future[None]) -> None:
    if loading.cancelled():
        return
    if (error := loading.exception()) is not None:
        logger.error("the model could not be loaded: %s", error)
    else:
        logger.info("ready")


async def _refused(request: Request, error: HTTPException) -> Response:
    """Answer for what the framework itself refuses: an unknown path, or another method."""
    told = {404: f"There is nothing at {request.url.path}.", 405: f"{request.method} is not what this path takes."}
    message = told.get(error.status_code, str(error.detail))
    return error_response(request.url.path, RequestError(error.status_code, message, headers=error.headers))


async def _malformed(request: Request, error: RequestValidationError) -> Response:
    """Answer for a parameter of a path or a query that is not of the form expected; without what was sent."""
    first = error.errors()[0]
    name = str(first["loc"][-1])
    return error_response(request.url.path, RequestError(400, f"{name}: {first['msg']}.", param=name))
