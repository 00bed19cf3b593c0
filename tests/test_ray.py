"""Work on a Ray cluster of two workers of one processor each: what is stored is what one process would have stored.

`make soak` does the same with 20,000 texts, kills the driver too, and starts again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from stores import chroma_server, local_client
from subprocesses import clean_environment

from minilm_retrieval import MiniLMEmbedder, index_documents, open_collection
from minilm_retrieval.ingest import load_documents
from minilm_retrieval.maintenance import import_collection

ray = pytest.importorskip("ray")

from minilm_retrieval.scaleout import Files, Workers, connected, embed_dataset, embed_files, index_files  # noqa: E402

TEXTS = int(os.environ.get("MINILM_SOAK_RAY_TEXTS", "2400"))
TWO = Workers(2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Any, Any]]:
    with connected("local") as modules:
        yield modules


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with chroma_server(tmp_path_factory.mktemp("server")) as port:
        yield port


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real texts in several files of records, and some documents of several passages."""
    folder = tmp_path_factory.mktemp("corpus")
    texts = words()
    half = TEXTS // 2
    for number, part in enumerate((texts[:half], texts[half:])):
        lines = [
            json.dumps({"id": row, "text": text, "row": row, "tags": ["a", str(row % 3)], "more": {"x": row / 7}})
            for row, text in enumerate(part)
        ]
        (folder / f"part-{number}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for number in range(4):
        body = "\n\n".join(texts[number * 100 : number * 100 + 100])
        (folder / f"page-{number}.md").write_text(f"# Page {number}\n\n{body}", encoding="utf-8")
    (folder / "broken.jsonl").write_text('{"id": 1, "text": "fine"}\nno JSON\n{"id": 1, "text": "again"}\n')
    return folder


def words() -> list[str]:
    """Return so many distinct short texts of the language reference."""
    from pydoc_data.topics import topics

    running = " ".join(topics.values()).split()
    length = 5
    texts = dict.fromkeys(" ".join(running[start : start + length]) for start in range(0, len(running), length))
    if len(texts) < TEXTS:
        more = (" ".join(running[start : start + length]) for start in range(2, len(running), length))
        texts.update(dict.fromkeys(more))
    return list(texts)[:TEXTS]


def stored(collection: Any) -> dict[str, tuple[str, dict[str, Any], Any]]:
    found = {}
    for start in range(0, collection.count(), 1000):
        page = collection.get(include=["documents", "metadatas", "embeddings"], limit=1000, offset=start)
        for id, *rest in zip(page["ids"], page["documents"], page["metadatas"], page["embeddings"], strict=True):
            found[id] = tuple(rest)
    return found


def assert_same(ours: Any, expected: Any) -> None:
    found, wanted = stored(ours), stored(expected)
    assert found.keys() == wanted.keys()
    assert {id: record[:2] for id, record in found.items()} == {id: record[:2] for id, record in wanted.items()}
    worst = max(float(np.abs(found[id][2] - wanted[id][2]).max()) for id in found)
    assert worst <= 1e-5


@pytest.fixture(scope="module")
def expected(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What one process makes of the corpus."""
    collection = open_collection("docs", client=local_client(tmp_path_factory.mktemp("local")), create=True)
    report = index_documents(collection, load_documents([corpus]), MiniLMEmbedder())
    assert [failure.reason for failure in report.failed]
    return collection


def on_server(name: str, port: int) -> Any:
    return open_collection(name, host="127.0.0.1", port=port, create=True)


def worker_processes() -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if b"MapWorker" in command:
            found.append(int(place.name))
    return found


def kill_when(reached: Any, done: threading.Event) -> None:
    """Kill a worker as soon as some passages are stored."""
    while not done.is_set():
        if reached() and (workers := worker_processes()):
            os.kill(workers[0], signal.SIGKILL)
            return
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds Ray's workers in /proc")
def test_a_killed_worker_leaves_what_one_process_stores(cluster: Any, server: int, corpus: Path, expected: Any) -> None:
    collection = on_server("killed", server)
    other = on_server("killed", server)
    done = threading.Event()
    killer = threading.Thread(target=kill_when, args=(lambda: other.count() >= TEXTS // 4, done))
    killer.start()
    try:
        report = index_files(collection, Files([corpus]), workers=TWO)
    finally:
        done.set()
        killer.join()
    assert_same(collection, expected)
    assert {failure.source for failure in report.failed} >= {str(corpus / "broken.jsonl")}
    # A lot that was given twice is counted as far as its second worker found it unfinished.
    again = index_files(collection, Files([corpus]), workers=TWO)
    assert (again.added, again.updated, again.passages_written) == (0, 0, 0)
    assert again.unchanged == TEXTS + 5
    # And by one process.
    alone = index_documents(collection, load_documents([corpus]))
    assert (alone.added, alone.updated, alone.unchanged, alone.deleted) == (0, 0, TEXTS + 5, 0)


def test_into_parquet_and_from_there_into_a_collection(cluster: Any, corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "blocks"
    files = Files([corpus], include=["*.md"])
    first = embed_files(folder, files, workers=TWO)
    assert (first.added, first.unchanged) == (4, 0)
    written = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.parquet")}
    # What is there stays as it is; what is of other content, from files that have changed since, is removed at the end.
    (folder / f"block-{'0' * 24}.parquet").write_bytes(b"of documents that are no more")
    again = embed_files(folder, files, workers=TWO)
    assert (again.added, again.unchanged) == (0, 4)
    assert {file.name: file.stat().st_mtime_ns for file in folder.glob("*.parquet")} == written
    report = import_collection(folder, local_client(tmp_path / "chroma"), "imported")
    assert (report.created, report.records) == (True, first.passages_written)
    imported = open_collection("imported", client=local_client(tmp_path / "chroma"))
    local = open_collection("local", client=local_client(tmp_path / "chroma"), create=True)
    index_documents(local, load_documents([corpus], include=["*.md"]))
    assert_same(imported, local)
    assert index_documents(imported, load_documents([corpus], include=["*.md"])).unchanged == 4


def test_a_column_of_vectors(cluster: Any, tmp_path: Path) -> None:
    _, data = cluster
    texts = words()[:60]
    dataset = data.from_items([{"row": row, "text": text} for row, text in enumerate(texts)])
    tables = ray.get(embed_dataset(dataset, workers=TWO, batch_size=25).to_arrow_refs())
    table = pyarrow.concat_tables(tables).sort_by("row")
    assert table["text"].to_pylist() == texts
    assert table.schema.field("embedding").type == pyarrow.list_(pyarrow.float32(), 384)
    vectors = np.asarray(table["embedding"].to_pylist())
    assert np.abs(vectors - MiniLMEmbedder().encode(texts)).max() <= 1e-5
    with pytest.raises(ValueError, match=r"no column 'body'; its columns are row, text"):
        embed_dataset(dataset, "body")


@pytest.mark.skipif("MINILM_SOAK_RAY_TEXTS" not in os.environ, reason="too slow for every run; see make soak")
def test_a_killed_driver_goes_on_from_there(server: int, corpus: Path, expected: Any) -> None:
    collection = on_server("driver", server)
    command = [sys.executable, "-m", "minilm_retrieval", "index", str(corpus), "--ray", "local", "--ray-workers", "2"]
    command += ["--host", "127.0.0.1", "--port", str(server), "--collection", "driver"]
    process = subprocess.Popen(command, env=clean_environment({}), stderr=subprocess.DEVNULL)
    while collection.count() < TEXTS // 2:
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert collection.count() < TEXTS
    second = subprocess.run(command, env=clean_environment({}), capture_output=True, text=True, timeout=600)
    assert second.returncode == 1, second.stderr
    assert "broken.jsonl" in second.stderr
    assert_same(collection, expected)
