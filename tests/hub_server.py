"""A stand-in for the Hugging Face hub on this machine: the routes that its client calls to download a model."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

Fault = Callable[["Handler", str], bool]


class HubServer:
    """Serves the files of one repository at one revision, well or badly.

    Attributes:
        requests: ``"METHOD /path"`` of every request.
        faults: By file name (``""`` for the listings): a function that answers instead, and returns ``True`` if it did.
        changes: By file name: a function from the real bytes to those that are served.
    """

    def __init__(self, directory: Path, names: list[str], repository: str, revision: str) -> None:
        self.directory = directory
        self.names = names
        self.repository = repository
        self.revision = revision
        self.requests: list[str] = []
        self.faults: dict[str, Fault] = {}
        self.changes: dict[str, Callable[[bytes], bytes]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.hub = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def served(self, name: str) -> bytes:
        content, _ = _published(self.directory / name)
        return self.changes[name](content) if name in self.changes else content

    def tag(self, name: str) -> str:
        """Return the ETag, that of the right file even where another is served, as behind a bad mirror."""
        return _published(self.directory / name)[1]

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@lru_cache(maxsize=16)
def _published(file: Path) -> tuple[bytes, str]:
    """Return a file and its SHA-256; every request asks for both, and the weights are large."""
    content = file.read_bytes()
    return content, hashlib.sha256(content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers ``/api/models/ID/revision/REV``, ``/api/models/ID/tree/REV`` and ``/ID/resolve/REV/FILE``."""

    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> HubServer:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on standard error."""

    def send(self, status: int, content: bytes, with_body: bool = True, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def _answer(self, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        name = path.partition("/resolve/")[2].partition("/")[2]
        if name in self.hub.faults and self.hub.faults[name](self, name):
            return
        if path.startswith(f"/api/models/{self.hub.repository}/"):
            self._answer_listing(path)
        elif path.startswith(f"/{self.hub.repository}/resolve/") and name in self.hub.names:
            content = self.hub.served(name)
            tag = f'"{self.hub.tag(name)}"'
            self.send(200, content, with_body, ETag=tag, X_Repo_Commit=self.hub.revision)
        else:
            self.send(404, b"{}", with_body, X_Error_Code="EntryNotFound" if name else "RepoNotFound")

    def _answer_listing(self, path: str) -> None:
        files = [
            {"type": "file", "path": name, "rfilename": name, "size": len(self.hub.served(name)), "oid": "0" * 40}
            for name in self.hub.names
        ]
        if "/tree/" in path:
            self.send(200, json.dumps(files).encode(), Content_Type="application/json")
        else:
            facts = {"id": self.hub.repository, "sha": self.hub.revision, "siblings": files, "private": False}
            self.send(200, json.dumps(facts).encode(), Content_Type="application/json")


def status(code: int) -> Fault:
    """Answer with an error status."""

    def fault(handler: Handler, name: str) -> bool:
        handler.send(code, b"{}", handler.command == "GET", X_Error_Code="" if code >= 500 else "EntryNotFound")
        return True

    return fault


def hang_up(handler: Handler, name: str) -> bool:
    """Close the connection without a word."""
    handler.close_connection = True
    return True


def hang_up_midway() -> Fault:
    """Close the connection after half of the file; later, before its first byte."""
    begun = threading.Event()

    def fault(handler: Handler, name: str) -> bool:
        if handler.command == "HEAD":
            return False
        handler.close_connection = True
        content = handler.hub.served(name)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if not begun.is_set():
            handler.wfile.write(content[: len(content) // 2])
        begun.set()
        return True

    return fault
