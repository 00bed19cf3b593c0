"""Requests to a server, tried again while trouble may pass, for a limited time; never where it refused them."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential, wait_random

from minilm_retrieval.store.server import NoAnswerError, Patience

# Any other status is the server's last word: the same request would meet with it again.
_REFUSED_NOW = frozenset({429, 503})
_GATEWAY = frozenset({502, 504})
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
_CONNECT_SECONDS = 10.0
# What leads to the same state however often it is done. Of another request, a lost answer may mean that it was done.
_REPEATABLE_METHODS = frozenset({"GET", "PUT", "DELETE"})
_REPEATABLE_POSTS = frozenset({"get", "query", "search", "add", "upsert", "update", "delete"})
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_HOPELESS = (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.ProxyError)

_log = logging.getLogger(__name__)


class _Passing(Exception):  # noqa: N818 - a signal to try again
    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class RetryingClient(httpx.Client):
    """An HTTP client that tries again, with growing waits, what failed for a reason that may pass.

    Those are connections that fail or break, time-outs, and the statuses 429 and 503 (after the time that the server
    asks for), 502 and 504. A request takes at most the longer of the two times, but for an answer that trickles in,
    which may take another ``timeout``. The beginning of an outage is logged, once.

    Args:
        patience: The limits.
        options: Of ``httpx.Client``.
    """

    def __init__(self, patience: Patience, **options: Any) -> None:
        super().__init__(**options)
        self.patience = patience
        self._away = False

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request until it is answered.

        Raises:
            NoAnswerError: The time was up, or the request was sent, its answer was lost, and doing it twice might not
                be the same as doing it once.
        """
        patience = self.patience
        started = time.monotonic()
        tries = 0
        lost = False

        def once() -> httpx.Response:
            nonlocal tries, lost
            left = max(patience.timeout, patience.retry_for) - (time.monotonic() - started)
            tries += 1
            try:
                response = self._send_once(request, max(0.001, min(patience.timeout, left)), options)
            except httpx.TransportError as error:
                reason = f"{type(error).__name__}: {error}".rstrip(": ")
                if isinstance(error, _HOPELESS) or _is_of_a_certificate(error):
                    raise given_up(f"{reason}{certificate_hint(error)}") from error
                lost = lost or not isinstance(error, _NEVER_SENT)
                if lost and not _is_repeatable(request):
                    raise given_up(f"{reason}. What was asked may have been done or not") from error
                raise _Passing(reason) from error
            lost = lost or response.status_code in _GATEWAY
            if response.status_code in _REFUSED_NOW or (response.status_code in _GATEWAY and _is_repeatable(request)):
                raise _Passing(_told(response), _asked_wait(response))
            self._away = False
            if lost and request.method == "DELETE" and response.status_code == httpx.codes.NOT_FOUND:
                # It was deleted by the try whose answer was lost.
                return httpx.Response(httpx.codes.OK, json={}, request=request)
            return response

        def given_up(reason: str) -> NoAnswerError:
            return NoAnswerError(
                f"{_address(request)} gave no answer to {tries} {'try' if tries == 1 else 'tries'} in "
                f"{time.monotonic() - started:.1f} s; the last: {reason}"
            )

        grow = wait_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT) + wait_random(0, _FIRST_WAIT)

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome is not None else None
            asked = error.wait if isinstance(error, _Passing) else 0.0
            return max(asked, grow(state))

        def spent(state: RetryCallState) -> bool:
            # A wait that would end after the time is up is not begun.
            return time.monotonic() - started + wait(state) >= patience.retry_for

        def note(state: RetryCallState) -> None:
            if not self._away and state.outcome is not None:
                self._away = True
                reason = str(state.outcome.exception())
                _log.warning("%s: %s; trying again for %g s", _address(request), reason, patience.retry_for)

        try:
            return Retrying(
                retry=retry_if_exception_type(_Passing), wait=wait, stop=spent, before_sleep=note, reraise=True
            )(once)
        except _Passing as error:
            asked = f"; it asks for {error.wait:g} s of waiting" if error.wait else ""
            raise given_up(f"{error}{asked}") from error

    def _send_once(self, request: httpx.Request, seconds: float, options: dict[str, Any]) -> httpx.Response:
        deadline = time.monotonic() + seconds
        request.extensions["timeout"] = httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS)).as_dict()
        response = super().send(request, **{**options, "stream": True})
        response.stream = _Limited(response.stream, deadline)
        try:
            response.read()
        finally:
            response.close()
        return response


class _Limited(httpx.SyncByteStream):
    """An answer that has to be complete at a time; httpx itself limits only the time between two parts of it."""

    def __init__(self, stream: Any, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            if time.monotonic() > self._deadline:
                raise httpx.ReadTimeout("the answer was not complete in time")
            yield part

    def close(self) -> None:
        self._stream.close()


def _address(request: httpx.Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc.decode()}"


def _is_repeatable(request: httpx.Request) -> bool:
    if request.method in _REPEATABLE_METHODS:
        return True
    last = request.url.path.rstrip("/").rpartition("/")[2]
    if last == "collections":
        return b'"get_or_create":true' in request.content
    # The first few of what matches are others the second time.
    some = last == "delete" and b'"limit"' in request.content and b'"limit":null' not in request.content
    return last in _REPEATABLE_POSTS and not some


def _told(response: httpx.Response) -> str:
    return f"status {response.status_code}: {response.text[:200].strip()}".rstrip(": ")


def _asked_wait(response: httpx.Response) -> float:
    """Return the seconds that an answer asks to wait, given as a number or as a date."""
    asked = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(asked))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(asked)
    except ValueError:
        return 0.0
    return max(0.0, (until - datetime.now(timezone.utc)).total_seconds()) if until.tzinfo else 0.0


def _is_of_a_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def certificate_hint(error: BaseException) -> str:
    """Return what to do about a certificate that was refused; nothing for another error."""
    hint = ". The environment variable SSL_CERT_FILE names a file with the certificate of an authority of your own"
    return hint if _is_of_a_certificate(error) else ""
