"""What went wrong with a request, in the shape that its protocol prescribes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from minilm_retrieval.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    EngineError,
    InvalidFilterError,
    InvalidOptionError,
    InvalidTextError,
    MiniLMError,
    StoreError,
    TextTooLongError,
)
from minilm_retrieval.server.batcher import QueueFullError, StoppingError

TEI_PATHS = frozenset({"/", "/embed", "/similarity", "/tokenize", "/decode", "/info", "/health", "/metrics"})
EMPTY = "empty"
"""The code of a request that has nothing in it, for which TEI has a status of its own."""
_OPENAI_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
_TEI_TYPES = {400: "Empty", 413: "Validation", 422: "Validation", 424: "Backend", 429: "Overloaded", 503: "Unhealthy"}
_STATUS: tuple[tuple[type[MiniLMError], int, str | None], ...] = (
    (InvalidTextError, 400, None),
    (TextTooLongError, 400, "context_length_exceeded"),
    (InvalidOptionError, 400, None),
    (InvalidFilterError, 400, "invalid_filter"),
    (CollectionNotFoundError, 404, "vector_store_not_found"),
    (CollectionMismatchError, 400, "other_model"),
    (StoreError, 503, "store_failed"),
    (EngineError, 500, None),
)


class RequestError(Exception):
    """A request that is not answered with what it asks for.

    Args:
        status: HTTP status.
        message: What was expected, what came, what to do.
        param: Which field of the request is at fault.
        code: OpenAI's short word for it.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = dict(headers or {})


def as_request_error(error: Exception) -> RequestError:
    """Say what an error of the library means for a request; of any other one, nothing is told but that it happened."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, QueueFullError):
        wait = max(0.05, error.retry_after)
        return RequestError(
            429,
            f"The server is busy: {error}. Try again in {math.ceil(wait)} s.",
            code="rate_limit_exceeded",
            headers={"Retry-After": str(math.ceil(wait)), "Retry-After-Ms": str(math.ceil(wait * 1000))},
        )
    if isinstance(error, StoppingError):
        return RequestError(503, str(error), headers={"Retry-After": "1"})
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            return RequestError(status, str(error), code=code)
    return RequestError(500, "The server failed on this request; its log says why.")


def error_response(path: str, error: RequestError) -> Response:
    """Return the answer that tells of an error, in the shape of the path's protocol."""
    content: dict[str, Any]
    status = error.status
    if path in TEI_PATHS:
        # That protocol has a status of its own for a failing engine, and 422 for what it can read but not accept.
        if error.code != EMPTY:
            status = {500: 424, 400: 422}.get(status, status)
        content = {"error": error.message, "error_type": _TEI_TYPES.get(status, "Validation")}
    else:
        kind = _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        content = {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}
    return Response(orjson.dumps(content), status, error.headers, "application/json")
