"""What the OpenAPI document says that routes take and give, and what they share while they run."""

from __future__ import annotations

from typing import Any, cast

from fastapi import Request
from pydantic import BaseModel

from minilm_retrieval.server.state import State


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """An error as OpenAI's API tells it."""

    error: ErrorDetail


class TEIErrorResponse(BaseModel):
    """An error as text-embeddings-inference tells it."""

    error: str
    error_type: str


_MEANINGS = {
    400: "The request is not of the form that is expected, or over a limit.",
    401: "No key was sent, or one that is unknown.",
    404: "There is no such thing here.",
    408: "The body took too long to arrive.",
    413: "The body is too long.",
    422: "The request is not of the form that is expected, or over a limit.",
    424: "The engine failed.",
    429: "The server is busy; try again after the seconds in Retry-After.",
    500: "The server failed.",
    503: "It took too long, or the server is not ready.",
}


def openai_errors(*further: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route of OpenAI's protocol."""
    return _errors(ErrorResponse, (400, 401, 408, 413, 429, 500, 503, *further))


def tei_errors(*further: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route of text-embeddings-inference's protocol."""
    return _errors(TEIErrorResponse, (400, 401, 408, 413, 422, 424, 429, 503, *further))


def _errors(model: type[BaseModel], statuses: tuple[int, ...]) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": model, "description": _MEANINGS[status]} for status in statuses}


def request_body(model: type[BaseModel]) -> dict[str, Any]:
    """Describe the body of a route that parses it itself."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def state(request: Request) -> State:
    """Return what the server's routes share."""
    return cast("State", request.app.state.minilm)
