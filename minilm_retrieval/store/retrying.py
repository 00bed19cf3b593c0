"""Requests to a server, tried again while trouble may pass, for a limited time; never where it refused them."""

from __future__ import annotations

import time
from typing import Any

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential, wait_random

from minilm_retrieval.store.server import Patience

_REFUSED_NOW = frozenset({429, 503})
_GATEWAY = frozenset({502, 504})
# Any other status is the server's last word: the same request would meet with it again.
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
_CONNECT_SECONDS = 10.0
# What leads to the same state however often it is done; of other requests a lost answer may mean that they were done.
_REPEATABLE = frozenset({"count", "get", "query", "search", "upsert", "update", "delete", "heartbeat", "identity"})
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class NoAnswerError(httpx.TransportError):
    """A server did not answer, or answered that it cannot now, until the time was up."""


class _Passing(Exception):  # noqa: N818 - a signal to try again
    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class RetryingClient(httpx.Client):
    """An HTTP client that tries again, with growing waits, what failed for a reason that may pass.

    Those are connections that fail or break, time-outs, and the statuses 429 (after the time that the server asks for),
    502, 503 and 504. A request takes at most the longer of the two times.

    Args:
        patience: The limits.
        options: Of ``httpx.Client``.
    """

    def __init__(self, patience: Patience, **options: Any) -> None:
        super().__init__(**options)
        self.patience = patience

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request until it is answered.

        Raises:
            NoAnswerError: The time was up.
        """
        started = time.monotonic()
        tries = 0

        def once() -> httpx.Response:
            nonlocal tries
            tries += 1
            left = self.patience.retry_for - (time.monotonic() - started)
            seconds = self.patience.timeout if tries == 1 else max(0.001, min(self.patience.timeout, left))
            limits = httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))
            request.extensions["timeout"] = limits.as_dict()
            try:
                response = httpx.Client.send(self, request, **options)
            except httpx.TransportError as error:
                if isinstance(error, _NEVER_SENT) or _is_repeatable(request):
                    raise _Passing(f"{type(error).__name__}: {error}".rstrip(": ")) from error
                raise
            status = response.status_code
            if status in _REFUSED_NOW or (status in _GATEWAY and _is_repeatable(request)):
                raise _Passing(f"status {status}: {response.text[:200]}", _asked_wait(response))
            return response

        grow = wait_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT) + wait_random(0, _FIRST_WAIT)

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome is not None else None
            asked = error.wait if isinstance(error, _Passing) else 0.0
            return max(asked, grow(state))

        def spent(state: RetryCallState) -> bool:
            # A wait that would end after the time is up is not begun.
            return time.monotonic() - started + wait(state) >= self.patience.retry_for

        try:
            return Retrying(
                retry=retry_if_exception_type(_Passing),
                wait=wait,
                stop=spent,
                reraise=True,
            )(once)
        except _Passing as error:
            seconds = time.monotonic() - started
            raise NoAnswerError(
                f"{request.url.scheme}://{request.url.netloc.decode()} gave no answer to {tries} "
                f"{'try' if tries == 1 else 'tries'} in {seconds:.1f} s; the last: {error}"
            ) from error


def _is_repeatable(request: httpx.Request) -> bool:
    if request.method == "GET":
        return True
    last = request.url.path.rstrip("/").rpartition("/")[2]
    if request.method == "POST" and last == "collections":
        return b'"get_or_create":true' in request.content
    return request.method == "POST" and last in _REPEATABLE


def _asked_wait(response: httpx.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0
