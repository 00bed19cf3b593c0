"""What stands before a real Chroma server: it passes requests on, and can refuse, lose or hold them up."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import orjson

Refusal = tuple[int, dict[str, Any]]


class Front(ThreadingHTTPServer):
    """A server of this machine before another.

    Attributes:
        seen: Method and last part of the path of each request.
        lost: Ends of the paths of the requests to be passed on next, whose answers are not given.
        answers: Given a request's method, path and body, what to answer instead of passing it on; ``None`` to do that.
    """

    daemon_threads = True

    def __init__(self, behind: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = httpx.Client(base_url=f"http://127.0.0.1:{behind}", timeout=60, trust_env=False)
        self.seen: list[tuple[str, str]] = []
        self.lost: list[str] = []
        self.answers: Callable[[str, str, Any], Refusal | None] = lambda *request: None

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def times(self, method: str, end: str) -> int:
        """Return how many such requests came."""
        return self.seen.count((method, end))


class _Handler(BaseHTTPRequestHandler):
    server: Front
    protocol_version = "HTTP/1.1"
    # Head and content go out together; apart, the second would wait for the first to be acknowledged.
    wbufsize = -1

    def _pass_on(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        end = self.path.partition("?")[0].rpartition("/")[2]
        self.server.seen.append((self.command, end))
        refusal = self.server.answers(self.command, self.path, orjson.loads(content) if content else None)
        if refusal is not None:
            self._answer(refusal[0], orjson.dumps(refusal[1]))
            return
        answer = self.server.behind.request(
            self.command, self.path, content=content, headers={"Content-Type": "application/json"}
        )
        if end in self.server.lost:
            self.server.lost.remove(end)
            self.close_connection = True
            return
        self._answer(answer.status_code, answer.content)

    do_GET = do_POST = do_PUT = do_DELETE = _pass_on  # noqa: N815 - names of http.server

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *ignored: object) -> None:
        pass


@contextmanager
def front(behind: int, secured: ssl.SSLContext | None = None) -> Iterator[Front]:
    """Stand before the server of a port until the block ends, with TLS if there is a context for it."""
    with Front(behind) as server:
        if secured is not None:
            server.socket = secured.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()
        server.behind.close()
