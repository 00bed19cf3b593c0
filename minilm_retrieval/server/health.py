"""Is the server there, is it ready, and what has it done?"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from minilm_retrieval.server.failures import RequestError
from minilm_retrieval.server.responses import state, tei_errors

router = APIRouter(tags=["Operation"])


@router.get("/health", response_class=Response, responses=tei_errors())
@router.head("/health", include_in_schema=False)
@router.api_route("/ready", methods=["GET", "HEAD"], include_in_schema=False)
async def health(request: Request) -> Response:
    """Say whether requests are answered at once: 200, and 503 while the model is loaded or the server stops."""
    if not state(request).service.ready.is_set():
        raise RequestError(503, "The model is not loaded yet, or could not be; the log says why.")
    return Response()


@router.api_route("/live", methods=["GET", "HEAD"], include_in_schema=False)
async def live() -> Response:
    """Say that the process answers."""
    return Response()


@router.get("/metrics", response_class=PlainTextResponse, responses=tei_errors())
async def metrics(request: Request) -> Response:
    """Give the server's numbers in Prometheus' text format."""
    return Response(state(request).metrics.text(), media_type="text/plain; version=0.0.4")
