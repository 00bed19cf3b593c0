"""Around every request: an id, the keys, the log, the metrics, and an answer whatever happens."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minilm_retrieval.server.failures import RequestError, as_request_error, error_response
from minilm_retrieval.server.metrics import Metrics
from minilm_retrieval.server.options import API_KEYS_VARIABLE, ServerOptions

logger = logging.getLogger("minilm_retrieval.server")

_OPEN_PATHS = frozenset({"/health", "/ready", "/live", "/v1", "/v1/", "/docs", "/redoc", "/openapi.json"})
_PROBES = frozenset({"/health", "/ready", "/live", "/metrics"})
_LONGEST_ID = 128

Handler = Callable[[Request], Awaitable[Response]]


class Envelope:
    """ASGI middleware.

    Args:
        app: What is inside.
        options: Any of its keys opens the server; without any everybody may, on this machine.
        metrics: Takes counts and times.
        direct: By path, what answers POST requests without the framework's way to it, which for a short text takes
            longer than all else that is done in the event loop.
    """

    def __init__(self, app: ASGIApp, options: ServerOptions, metrics: Metrics, direct: Mapping[str, Handler]) -> None:
        self._app = app
        self._direct = direct
        self._digests = [_digest(key) for key in options.api_keys]
        self._any_host = bool(options.api_keys) or options.open_to_all
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        request_id = _request_id(headers.get("x-request-id"))
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            self._check_host(headers.get("host", ""))
            if scope["path"] not in _OPEN_PATHS:
                self._check_key(headers)
            await self._answer(scope, receive, noting)
        except Exception as error:
            failure = as_request_error(error)
            if failure.status >= 500 and not isinstance(error, RequestError):
                logger.error("request failed", extra={"request_id": request_id}, exc_info=error)
            if status:
                raise
            await error_response(scope["path"], failure)(scope, receive, noting)
        finally:
            seconds = time.perf_counter() - started
            route = scope["path"] if self._handler(scope) else getattr(scope.get("route"), "path", "other")
            self._metrics.answered(route, status, seconds)
            facts: dict[str, Any] = {
                "request_id": request_id,
                "client": (scope.get("client") or ("-",))[0],
                "method": scope["method"],
                "path": quote(scope["path"], safe="/:@"),
                "status": status,
                "seconds": round(seconds, 4),
                **scope.get("minilm_facts", {}),
            }
            # Health is asked for every few seconds.
            level = logging.DEBUG if scope["path"] in _PROBES and status < 400 else logging.INFO
            logger.log(level, "request", extra=facts)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if handler := self._handler(scope):
            response = await handler(Request(scope, receive, send))
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _handler(self, scope: Scope) -> Handler | None:
        return self._direct.get(scope["path"]) if scope["method"] == "POST" else None

    def _check_host(self, host: str) -> None:
        """Refuse names of others: a web page could have its own name lead here, and read what it finds."""
        name = urlsplit(f"//{host}").hostname or ""
        if self._any_host or name == "localhost" or name.endswith(".localhost") or _is_address(name):
            return
        raise RequestError(
            403,
            "Without API keys the server answers to localhost and to addresses only, not to other host names. Start it "
            f"with --api-key-file, {API_KEYS_VARIABLE} or --open-to-all.",
            code="unknown_host",
        )

    def _check_key(self, headers: Headers) -> None:
        if not self._digests:
            return
        scheme, _, key = headers.get("authorization", "").partition(" ")
        sent = _digest(key.strip() if scheme.lower() == "bearer" else "")
        # Each is compared, in constant time, so that the time taken tells nothing about them.
        matches = [hmac.compare_digest(sent, digest) for digest in self._digests]
        if any(matches):
            return
        asked = "No API key was sent" if not key else "The API key is not one of this server's"
        raise RequestError(
            401,
            f"{asked}; expected the header 'Authorization: Bearer KEY'.",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _request_id(given: str | None) -> str:
    """Return the client's own id where it is a plain word, so that logs of both can be compared."""
    if given and len(given) <= _LONGEST_ID and given.isascii() and given.isprintable() and " " not in given:
        return given
    return f"req_{uuid.uuid4().hex}"
