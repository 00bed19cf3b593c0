"""What every route does: read a bounded body, parse it, and stop working for a client that has gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio
import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from minilm_retrieval.server.failures import RequestError
from minilm_retrieval.server.options import ServerOptions
from minilm_retrieval.tokenizer import well_formed

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

_GONE = 499


async def read_body(request: Request, options: ServerOptions) -> bytes:
    """Read a request's body.

    Raises:
        RequestError: It is longer than allowed, takes longer than allowed, or the client has gone.
    """
    too_long = RequestError(
        413,
        f"The body is longer than the {options.max_body_bytes} bytes that this server takes (max_body_bytes). "
        "Send its texts in several requests.",
        # What the client goes on sending is not read.
        headers={"Connection": "close"},
    )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > options.max_body_bytes:
        raise too_long
    try:
        with anyio.fail_after(options.body_timeout):
            return await _received(request, options.max_body_bytes, too_long)
    except TimeoutError as error:
        raise RequestError(
            408,
            f"The body did not arrive within {options.body_timeout:g} s (body_timeout).",
            headers={"Connection": "close"},
        ) from error
    except ClientDisconnect as error:
        raise RequestError(_GONE, "The client has gone.") from error


async def _received(request: Request, limit: int, too_long: RequestError) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_long
        parts.append(part)
    return b"".join(parts)


async def parsed(request: Request, options: ServerOptions, model: type[M]) -> M:
    """Read and parse a request's body.

    Raises:
        RequestError: As :func:`read_body`; or the body is not JSON, or not of the form that was expected.
    """
    body = await read_body(request, options)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        repaired = _without_lone_surrogates(body) if error.errors()[0]["type"] == "json_invalid" else None
        if repaired is None:
            raise _malformed(error, model) from error
    try:
        return model.model_validate_json(repaired)
    except ValidationError as error:
        raise _malformed(error, model) from error


def _without_lone_surrogates(body: bytes) -> bytes | None:
    """Return a body with U+FFFD for each half of a character, as a text has that was cut within one; else ``None``."""
    try:
        text = json.dumps(json.loads(body), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return well_formed(text).encode()


def _malformed(error: ValidationError, model: type[BaseModel]) -> RequestError:
    """Name the first thing that is wrong; never what was sent, which may be private and long."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    first = errors[0]
    if first["type"] == "json_invalid":
        return RequestError(400, f"The body is not JSON: {first['msg']}.", code="invalid_json")
    place = [str(part) for part in first["loc"]]
    field = place[0] if place else None
    message = f"{'.'.join(place) or 'The body'}: {first['msg']}."
    several = first["type"].startswith("union_tag") or sum(each["loc"][:1] == (field,) for each in errors) > 1
    if field and several and model.model_fields[field].description:
        # A field of several forms is none of them; which one was meant nobody knows.
        message = f"{field} is of none of the forms that are taken: {model.model_fields[field].description}"
    return RequestError(400, message, param=field, code="invalid_type")


async def while_connected(request: Request, options: ServerOptions, work: Coroutine[Any, Any, T]) -> T:
    """Return what the work gives; give it up when the client goes, or time is up.

    Raises:
        RequestError: It took longer than allowed, or the client has gone.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_client_gone(request))
    try:
        await asyncio.wait({task, gone}, timeout=options.timeout, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise RequestError(_GONE, "The client has gone.")
        raise RequestError(
            503,
            f"The request could not be answered within {options.timeout:g} s (timeout). Try again, with fewer texts.",
            code="timeout",
            headers={"Retry-After": "1"},
        )
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()


async def _client_gone(request: Request) -> None:
    """Return when the client has gone; a body that nobody has read is passed over."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def note(request: Request, **facts: int) -> None:
    """Have the request's line in the log say more."""
    request.scope.setdefault("minilm_facts", {}).update(facts)


def json_response(content: Any, headers: dict[str, str] | None = None) -> Response:
    """Return an answer in JSON; arrays of float32 are written with as many digits as tell them apart."""
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), 200, headers, "application/json")
