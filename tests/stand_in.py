"""A server that answers as Chroma's does, but for the trouble it is told of."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar


class StandIn(ThreadingHTTPServer):
    """Answers as a server of Chroma does, but for the trouble it is told of."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.trouble: list[tuple[int, dict[str, str]]] = []
        self.counts = 0
        self.collections = 0
        self.tokens: set[str | None] = set()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    ANSWERS: ClassVar[dict[str, Any]] = {
        "heartbeat": {"nanosecond heartbeat": 1},
        "identity": {"user_id": "u", "tenant": "mine", "databases": ["notes"]},
        "pre-flight-checks": {"max_batch_size": 5000},
        "collections_count": 7,
    }

    def do_GET(self) -> None:
        last = self.path.rpartition("/")[2]
        self.server.tokens.add(self.headers.get("x-chroma-token"))
        status, headers = 200, {}
        if last == "collections_count":
            self.server.counts += 1
            if self.server.trouble:
                status, headers = self.server.trouble.pop(0)
        if last == "away":
            self.server.collections += 1
            status = 503
        if status == 0:  # A connection that breaks.
            self.connection.close()
            return
        if status == 1:  # No answer in time.
            time.sleep(1)
            return
        if status == 2:  # An answer that trickles in.
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            with suppress(OSError):
                for _ in range(1000):
                    self.wfile.write(b" ")
                    time.sleep(0.05)
            return
        body = json.dumps(self.ANSWERS.get(last, {"name": last, "id": "0" * 32, "tenant": "mine"})).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *ignored: object) -> None:
        pass
