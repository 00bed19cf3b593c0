"""Indexing that ends too early, in each way there is, and the run after it that has to put things right."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from snapshots import Snapshot, assert_equal, built_from_scratch, snapshot
from source_tree import write_tree
from stores import chroma_process, local_client
from subprocesses import clean_environment

from minilm_retrieval import Document, MiniLMEmbedder, index_documents, open_collection
from minilm_retrieval.errors import StoreLockedError
from minilm_retrieval.ingest import load_documents

KILLS = int(os.environ.get("MINILM_SOAK_KILLS", "2"))
FILES = 36
CHARACTERS = 2500
INDEX = """
import sys
from minilm_retrieval import MiniLMEmbedder, index_documents, open_collection
from minilm_retrieval.ingest import load_documents
server = {"host": "127.0.0.1", "retry_for": 5}
place = {**server, "port": int(sys.argv[2])} if sys.argv[2].isdigit() else {"path": sys.argv[2]}
embedder = MiniLMEmbedder()
embedder.warmup()
collection = open_collection("docs", **place, create=True, embedder=embedder)
print("started", flush=True)
report = index_documents(collection, load_documents([sys.argv[1]], include=["*"]), embedder, prune=True)
print(report.failed, flush=True)
"""


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """Two versions of a tree: file by file their texts, most of which change from one to the other."""
    files = write_tree(tmp_path_factory.mktemp("tree"), FILES)
    first = [file.read_text(encoding="utf-8")[:CHARACTERS] for file in files]
    return [
        first,
        [text[len(text) // 3 :] + "\n\nEdited.\n" if number % 4 else text for number, text in enumerate(first)],
    ]


def write(folder: Path, texts: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        (folder / f"{number:04}.txt").write_text(text, encoding="utf-8")


def documents(folder: Path) -> Any:
    return load_documents([folder], include=["*"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one place where the trees are written, since a document's id is its file's path."""
    return tmp_path_factory.mktemp("folder") / "tree"


@pytest.fixture(scope="module")
def wanted(
    trees: list[list[str]], folder: Path, embedder: MiniLMEmbedder, tmp_path_factory: pytest.TempPathFactory
) -> list[Snapshot]:
    """What a collection of each version must hold."""
    snapshots = []
    for texts in trees:
        write(folder, texts)
        snapshots.append(built_from_scratch(tmp_path_factory.mktemp("scratch"), documents(folder), embedder))
    return snapshots


@contextmanager
def indexing(folder: Path, place: Path | int) -> Iterator[subprocess.Popen[str]]:
    """Start indexing into a directory, or a server by its port, in a process of its own; wait until it has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", INDEX, str(folder), str(place)],
        env=clean_environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def complete(folder: Path, place: Path | int) -> float:
    """Run indexing to its end; return the seconds it took from its beginning."""
    with indexing(folder, place) as process:
        started = time.perf_counter()
        assert process.communicate(timeout=300)[0] == "[]\n"
        assert process.returncode == 0
        return time.perf_counter() - started


def stored(store: Path, copy: Path) -> Snapshot:
    """Read what is on disk, from a copy: a process keeps a directory open that it has opened once."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(store, copy)
    return snapshot(local_client(copy).get_collection("docs", embedding_function=None))


def test_killed_at_any_moment(trees: list[list[str]], wanted: list[Snapshot], folder: Path, tmp_path: Path) -> None:
    """Each round edits most files, kills the run that takes the edits up, and completes it with another."""
    store = tmp_path / "store"
    write(folder, trees[0])
    # Three quarters of the files change.
    seconds = 3 / 4 * complete(folder, store)
    chance = random.Random(5)
    killed = 0
    for number in range(1, KILLS + 1):
        write(folder, trees[number % 2])
        with indexing(folder, store) as process:
            time.sleep(chance.uniform(0, seconds))
            process.kill()
            killed += process.wait() == -signal.SIGKILL
        complete(folder, store)
        assert_equal(stored(store, tmp_path / f"copy-{number}"), wanted[number % 2])
    assert killed >= KILLS // 2


def test_the_server_is_killed_and_comes_back(
    trees: list[list[str]], wanted: list[Snapshot], folder: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    chance = random.Random(6)
    write(folder, trees[0])
    with chroma_process(store) as (port, _):
        seconds = complete(folder, port)
    hit = 0
    for number in range(1, max(1, KILLS // 4) + 1):
        write(folder, trees[number % 2])
        with chroma_process(store) as (port, server), indexing(folder, port) as process:
            time.sleep(chance.uniform(0, seconds))
            server.kill()
            errors = process.communicate(timeout=60)[1]
            assert process.returncode == 0 or "StoreUnavailableError" in errors.splitlines()[-1], errors
            hit += process.returncode != 0
        with chroma_process(store) as (port, _):
            complete(folder, port)
        assert_equal(stored(store, tmp_path / f"copy-{number}"), wanted[number % 2])
    assert hit >= KILLS // 8


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds an empty database, and little more."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=520k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("a file system can be mounted by the administrator only")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_the_disk_is_full(
    trees: list[list[str]], wanted: list[Snapshot], folder: Path, tmp_path: Path, small_disk: Path
) -> None:
    write(folder, trees[0])
    store = small_disk / "store"
    with indexing(folder, store) as process:
        errors = process.communicate(timeout=120)[1]
        assert process.returncode == 1
    assert "StoreError" in errors.splitlines()[-1]
    assert re.search(r"The disk of .* is full: \d+ KiB are free", errors.splitlines()[-1])
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    complete(folder, store)
    assert_equal(stored(store, tmp_path / "copy"), wanted[0])


def test_an_interrupted_command_reports_and_is_completed(
    trees: list[list[str]], wanted: list[Snapshot], folder: Path, tmp_path: Path
) -> None:
    write(folder, trees[0])
    for name in (signal.SIGINT, signal.SIGTERM):
        store = tmp_path / name.name
        command = [sys.executable, "-m", "minilm_retrieval", "index", str(folder), "--path", str(store), "--json"]
        process = subprocess.Popen(
            command, env=clean_environment({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while not (store / "minilm-writer.json").exists():
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(name)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        report = json.loads(output)
        assert report["interrupted"] is True
        assert report["passages_written"] == report["passages_stored"] <= len(wanted[0])
        assert errors == "minilm: interrupted; run the same command again to go on\n"
        complete(folder, store)
        assert_equal(stored(store, tmp_path / f"copy-{name.name}"), wanted[0])


def test_a_second_writer_is_told_who_the_first_is(
    trees: list[list[str]], wanted: list[Snapshot], folder: Path, embedder: MiniLMEmbedder, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    write(folder, trees[0])
    with indexing(folder, store) as process:
        collection = open_collection("docs", path=store)
        while not (store / "minilm-writer.json").exists():
            time.sleep(0.01)
        with pytest.raises(StoreLockedError, match=rf"pid {process.pid} on .*indexing into the collection 'docs'"):
            index_documents(collection, [Document("a", "b")], embedder)
        assert process.communicate(timeout=60)[0] == "[]\n"
    assert_equal(stored(store, tmp_path / "copy"), wanted[0])
    assert index_documents(collection, [Document("a", "b")], embedder).added == 1
    assert len(stored(store, tmp_path / "later")) == len(wanted[0]) + 1
