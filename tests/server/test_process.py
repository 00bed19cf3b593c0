"""A real server process: stopping, being killed, and clients that misbehave."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from raw_http import Answer, Connection
from running import RunningServer, running_server

LONG = "word " * 250


async def healthy(server: RunningServer) -> None:
    """Make sure that the server goes on."""
    async with Connection(server.port) as connection:
        assert (await connection.embed("still there?")).status == 200


async def test_what_was_accepted_is_answered_when_the_server_is_stopped() -> None:
    with running_server() as server:
        connections = [Connection(server.port) for _ in range(24)]
        for connection in connections:
            await connection.__aenter__()
        tasks = [
            asyncio.ensure_future(connection.embed([f"{number} {LONG}"] * 1 + [f"{row} {LONG}" for row in range(2)]))
            for number, connection in enumerate(connections)
        ]
        # All have been read by then, and few have been computed.
        await asyncio.sleep(0.4)
        assert not all(task.done() for task in tasks)
        server.process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*tasks)
        assert [answer.status for answer in answers] == [200] * len(answers)
        assert all(len(answer.json()["data"]) == 3 for answer in answers)
        with pytest.raises(OSError):
            await Connection(server.port).__aenter__()
        assert server.process.wait(30) == 0


async def test_after_a_kill_it_starts_again_on_the_same_port() -> None:
    with running_server() as server:
        port = server.port
        await healthy(server)
        server.process.kill()
        server.process.wait()
    with running_server("--port", str(port)) as server:
        assert server.port == port
        await healthy(server)


def test_a_port_that_is_taken_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from minilm_retrieval.cli.main import app

    with running_server() as server:
        result = CliRunner().invoke(app, ["serve", "--port", str(server.port)])
    assert result.exit_code == 2
    assert f"Cannot listen on 127.0.0.1 port {server.port}: Address already in use" in result.output


async def test_clients_that_misbehave() -> None:
    with running_server("--body-timeout", "0.5", "--max-body-bytes", "5000") as server:
        async with Connection(server.port) as slow:
            slow.send(b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            answer = await slow.answer()
            assert (answer.status, error_type(answer)) == (408, "invalid_request_error")
            assert "body_timeout" in answer.json()["error"]["message"]
            assert await slow.reader.read() == b"", "and the connection is closed"
        async with Connection(server.port) as large:
            large.send(b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6000\r\n\r\n")
            assert (await large.answer()).status == 413
        async with Connection(server.port) as chunked:
            chunked.send(b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            chunked.send(b"1000\r\n" + b"x" * 0x1000 + b"\r\n1000\r\n" + b"x" * 0x1000 + b"\r\n")
            assert (await chunked.answer()).status == 413
        async with Connection(server.port) as half:
            body = b'{"input": "a"}'
            half.send(
                b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            half.writer.write_eof()
            with pytest.raises((EOFError, AssertionError, ConnectionError)):
                # It is taken for a client that has gone: its connection is closed, if it was not answered before.
                assert (await half.answer(5)).status != 200
        async with Connection(server.port) as gone:
            gone.send(b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        async with Connection(server.port) as nonsense:
            nonsense.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is no HTTP\r\n\r\n")
            assert (await nonsense.answer()).status == 400
        async with Connection(server.port) as endless:
            endless.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
            for _ in range(10):
                endless.send(b"X: " + b"x" * 60_000 + b"\r\n")
                await asyncio.sleep(0.02)
            refused = False
            with suppress(EOFError, ConnectionError):
                refused = (await endless.answer(5)).status != 400
            assert not refused, "it is told, or cut off"
        async with Connection(server.port) as silent:
            await asyncio.sleep(0.1)
            assert silent.writer.can_write_eof()
        await healthy(server)
        assert not [line for line in server.log if "Traceback" in line], server.log


def error_type(answer: Answer) -> str:
    return str(answer.json()["error"]["type"])


async def test_a_single_text_is_answered_beside_two_thousand() -> None:
    texts = [f"{number} {LONG}" for number in range(400)]
    with running_server() as server:
        async with Connection(server.port) as many, Connection(server.port) as one:
            await one.embed("warm")
            long = asyncio.ensure_future(many.embed(texts))
            await asyncio.sleep(0.5)
            started = time.perf_counter()
            waits = []
            while not long.done() and len(waits) < 20:
                asked = time.perf_counter()
                assert (await one.embed("one short text")).status == 200
                waits.append(time.perf_counter() - asked)
            assert not long.done(), f"{len(waits)} single texts took {time.perf_counter() - started:.1f} s"
            long.cancel()
        await healthy(server)


async def test_a_cancelled_request_frees_the_processor() -> None:
    texts = [f"{number} {LONG}" for number in range(1000)]
    with running_server() as server, httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as http:
        async with Connection(server.port) as connection:
            connection.send(b"")
            task = asyncio.ensure_future(connection.embed(texts))
            while queued(http) == 0:
                await asyncio.sleep(0.02)
            task.cancel()
        ends = time.monotonic() + 10
        while queued(http) and time.monotonic() < ends:
            await asyncio.sleep(0.02)
        assert queued(http) == 0
        await healthy(server)


def queued(http: httpx.Client) -> float:
    lines = http.get("/metrics").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("minilm_queue_texts ")))


async def test_a_store_that_hangs_holds_up_nothing_else() -> None:
    """A Chroma server that takes connections and never answers: time limits hold, and the server can be stopped."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        place = ("--chroma-host", "127.0.0.1", "--chroma-port", str(silent.getsockname()[1]))
        with (
            running_server(*place, "--timeout", "0.5") as server,
            httpx.Client(base_url=server.url, timeout=30) as http,
        ):
            for _ in range(3):
                started = time.monotonic()
                assert http.get("/v1/vector_stores").status_code == 503
                assert http.post("/v1/vector_stores/docs/search", json={"query": "a"}).status_code == 503
                assert time.monotonic() - started < 10
            await healthy(server)


async def test_keys_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("one\ntwo\n", encoding="utf-8")
    with running_server("--api-key-file", str(file), "--host", "0.0.0.0") as server:
        body = {"input": "a"}
        url = f"http://127.0.0.1:{server.port}/v1/embeddings"
        assert httpx.post(url, json=body).status_code == 401
        assert httpx.post(url, json=body, headers={"Authorization": "Bearer two"}).status_code == 200
        assert not [line for line in server.log if "two" in line]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
async def test_overload_is_refused_and_leaves_nothing_behind() -> None:
    """Twice what it can do, for ``MINILM_SOAK_OVERLOAD`` seconds: only 200 and 429, and then full speed again."""
    seconds = float(os.environ.get("MINILM_SOAK_OVERLOAD", "4"))
    with running_server("--threads", "1", "--max-queue", "64", "--log-level", "warning") as server:
        before = await rate(server, seconds=2)
        at_rest = resident(server.process.pid)
        statuses, waits, highest = await flood(server, 2 * before, seconds)
        assert set(statuses) == {200, 429}
        assert statuses[200] >= 0.6 * before * seconds, "refusing costs little"
        assert all(1 <= wait <= 120 for wait in waits)
        assert highest <= at_rest + 150e6
        assert await rate(server, seconds=2) >= 0.6 * before, "full speed again, at once"


async def rate(server: RunningServer, seconds: float) -> float:
    """Return the texts a second of 16 clients that wait for each answer."""
    counts = []

    async def client(number: int) -> None:
        async with Connection(server.port) as connection:
            ends = time.perf_counter() + seconds
            while time.perf_counter() < ends:
                assert (await connection.embed(f"{number} a short text of some words, {len(counts)}")).status == 200
                counts.append(number)

    await asyncio.gather(*(client(number) for number in range(16)))
    return len(counts) / seconds


async def flood(server: RunningServer, rate: float, seconds: float) -> tuple[dict[int, int], list[int], int]:
    """Send requests at a rate, whether or not they are answered.

    Returns:
        How often each status came, the seconds of each Retry-After, and the most memory in bytes.
    """
    statuses: dict[int, int] = {}
    waits: list[int] = []
    idle: list[Connection] = []
    highest = 0

    async def request(number: int) -> None:
        connection = idle.pop() if idle else await Connection(server.port).__aenter__()
        answer = await connection.embed(f"{number} a short text of some words")
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        if answer.status == 429:
            waits.append(int(answer.headers["retry-after"]))
        idle.append(connection)

    tasks: set[asyncio.Task[None]] = set()
    started = time.perf_counter()
    sent = 0
    while (passed := time.perf_counter() - started) < seconds:
        while sent < passed * rate:
            task = asyncio.ensure_future(request(sent))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        highest = max(highest, resident(server.process.pid))
        await asyncio.sleep(0.01)
    await asyncio.gather(*tasks)
    for connection in idle:
        await connection.__aexit__()
    return statuses, waits, highest


def resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))
