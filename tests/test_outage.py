"""A Chroma server that is killed, or hangs, while documents are indexed and others search; it comes back after a while.

``MINILM_SOAK_OUTAGE`` sets for how many seconds it is away.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine
from snapshots import assert_equal, built_from_scratch, snapshot
from stores import TOPICS

from minilm_retrieval import Document, MiniLMEmbedder, Retriever, index_documents, open_collection
from minilm_retrieval.errors import StoreError

OUTAGE = float(os.environ.get("MINILM_SOAK_OUTAGE", "1"))
TIMEOUT = 0.5
DOCUMENTS = [Document(f"note-{number}", f"{TOPICS[number % 10]} Number {number}.") for number in range(2400)]


def start(path: Path, port: int) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("chroma")), "run", "--path", str(path), "--port", str(port)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the server did not start")


@pytest.mark.parametrize(
    "hung",
    [
        pytest.param(False, id="killed"),
        pytest.param(
            True,
            id="hung",
            marks=pytest.mark.skipif(
                "MINILM_SOAK_OUTAGE" not in os.environ, reason="too slow for every run; see make soak"
            ),
        ),
    ],
)
def test_outage(hung: bool, tmp_path: Path, fake_engine: FakeEngine) -> None:
    """Indexing goes on and is complete; queries are answered after it, or fail within their limit, as asked."""
    embedder = MiniLMEmbedder(on_truncate="ignore")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = start(tmp_path / "server", port)
    away, over = threading.Event(), threading.Event()
    impatient: list[tuple[float, bool]] = []
    wrong: list[Any] = []
    try:
        wait_for(port)
        place: dict[str, Any] = {"host": "localhost", "port": port}
        collection = open_collection("docs", **place, create=True, embedder=embedder, timeout=20, retry_for=120)
        index_documents(collection, DOCUMENTS[:10], embedder)
        patient = Retriever(open_collection("docs", **place, timeout=20, retry_for=120), embedder)
        hasty = Retriever(open_collection("docs", **place, timeout=TIMEOUT, retry_for=0), embedder)

        def ask(retriever: Retriever, patience: bool) -> None:
            while not over.is_set():
                began = time.monotonic()
                try:
                    found = bool(retriever.search(TOPICS[0], k=1))
                    if not found:
                        wrong.append("nothing found")
                except StoreError as error:
                    found = False
                    if patience:
                        wrong.append(error)
                except Exception as error:
                    wrong.append(error)
                    return
                if not patience:
                    impatient.append((time.monotonic() - began, found))
                time.sleep(0.02)

        def documents() -> Iterator[Document]:
            for number, document in enumerate(DOCUMENTS):
                if number == 1000:
                    away.set()
                yield document

        def trouble() -> None:
            nonlocal server
            away.wait()
            if hung:
                server.send_signal(signal.SIGSTOP)
                time.sleep(OUTAGE)
                server.send_signal(signal.SIGCONT)
            else:
                server.kill()
                server.wait()
                time.sleep(OUTAGE)
                server = start(tmp_path / "server", port)

        threads = [threading.Thread(target=trouble)]
        threads += [
            threading.Thread(target=ask, args=(retriever, retriever is patient)) for retriever in (patient, hasty)
        ]
        for thread in threads:
            thread.start()
        report = index_documents(collection, documents(), embedder)
        threads[0].join()
        over.set()
        for thread in threads:
            thread.join()
        assert not wrong
        # Each search is a few requests; a hung server must not hold it for as long as the patient.
        assert max(seconds for seconds, _ in impatient) < 15
        assert not all(found for _, found in impatient), "no query met with the outage"
        assert report.added == len(DOCUMENTS) - 10
        assert_equal(snapshot(collection), built_from_scratch(tmp_path / "local", DOCUMENTS, embedder))
    finally:
        away.set()
        over.set()
        server.send_signal(signal.SIGCONT)
        server.kill()
        server.wait()
