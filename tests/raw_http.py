"""A bare HTTP/1.1 client: for load that costs little itself, and for what no proper client would send."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One connection, kept open from request to request; a context manager."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Connection:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.writer.close()

    async def embed(self, input: Any) -> Answer:
        """Ask for embeddings in base64."""
        body = json.dumps({"input": input, "encoding_format": "base64"}).encode()
        self.send(
            f"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        return await self.answer()

    def send(self, data: bytes) -> None:
        """Send these very bytes."""
        self.writer.write(data)

    async def answer(self, timeout: float = 120) -> Answer:
        """Read a response; raises EOFError where the connection ends instead."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), timeout)).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(first.split()[1]), headers, body)
