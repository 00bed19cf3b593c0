"""Listening: uvicorn around the application."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.server.app import create_app
from minilm_retrieval.server.options import ServerOptions
from minilm_retrieval.server.protocol import LimitedHeadProtocol

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

_KEEP_ALIVE = 75
_BACKLOG = 2048
# A thread whose batch is done asks for the interpreter, which the event loop would else keep for ten times as long;
# the processor is idle meanwhile.
_SWITCH_SECONDS = 0.0005


def serve(
    embedder: MiniLMEmbedder | None = None,
    options: ServerOptions | None = None,
    connect: Callable[[], ClientAPI] | None = None,
    on_listening: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; then finish what was accepted and return.

    Args:
        embedder: Which model, and how it is computed; ``None`` for all-MiniLM-L6-v2.
        options: Address, limits, security.
        connect: Opens the Chroma client whose collections are searched; ``None`` for none.
        on_listening: Called with the server's address once connections are taken.

    Raises:
        InvalidOptionError: The address cannot be listened on.
    """
    options = options or ServerOptions()
    config = uvicorn.Config(
        create_app(embedder, options, connect),
        host=options.host,
        port=options.port,
        http=LimitedHeadProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=int(options.shutdown_timeout) or 1,
        backlog=_BACKLOG,
    )
    sys.setswitchinterval(_SWITCH_SECONDS)
    listening = _listen(options)
    if on_listening is not None:
        host, port = listening.getsockname()[:2]
        on_listening(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    with listening, _until_sigterm():
        uvicorn.Server(config).run(sockets=[listening])


class _Terminated(BaseException):
    """SIGTERM came."""


@contextmanager
def _until_sigterm() -> Iterator[None]:
    """End the block at SIGTERM; uvicorn, which catches it to finish its work, raises it again when that is done."""
    # Signals can be handled in the main thread only.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        with suppress(_Terminated):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _listen(options: ServerOptions) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
            listening.set_inheritable(True)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise InvalidOptionError(
            f"Cannot listen on {options.host} port {options.port}: {error.strerror or error}. Choose another with "
            "--host and --port."
        ) from error
    return listening
