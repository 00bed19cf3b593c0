from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import chromadb
import pytest
from stores import chroma_server, fill, local_client, random_vectors
from subprocesses import clean_environment

from minilm_retrieval.errors import StoreError, StoreLockedError
from minilm_retrieval.store.local import full_disk, local_directory
from minilm_retrieval.store.writer_lock import writer_lock

HOLDER = """
import sys, time
from minilm_retrieval.store import connect
from minilm_retrieval.store.writer_lock import writer_lock
with writer_lock(connect(path=sys.argv[1], create=True), "holding"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return local_client(tmp_path)


def test_the_holder_is_named_while_it_lives_and_forgotten_when_it_is_killed(client: Any, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], env=clean_environment({}), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        expected = rf"by another process \(pid {process.pid} on .*, since 20.*, holding: -c .*Wait until"
        with pytest.raises(StoreLockedError, match=expected), writer_lock(client, "waiting"):
            pass
    finally:
        process.kill()
        process.communicate()
    assert (tmp_path / "minilm-writer.json").exists()
    with writer_lock(client, "after a crash"):
        assert json.loads((tmp_path / "minilm-writer.json").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "minilm-writer.json").exists()


def test_the_same_process_has_to_wait_for_itself(client: Any) -> None:
    refused = pytest.raises(StoreLockedError, match=rf"by another call in this process \(pid {os.getpid()} .*, first: ")
    with writer_lock(client, "first"), refused, writer_lock(client, "second"):
        pass
    with writer_lock(client, "third"):
        pass


def test_a_holder_that_has_not_said_who_it_is(client: Any, tmp_path: Path) -> None:
    with writer_lock(client, "first"):
        for content in ("", "{}", "[1]"):
            (tmp_path / "minilm-writer.json").write_text(content)
            with pytest.raises(StoreLockedError, match="has not said yet who it is"), writer_lock(client, "second"):
                pass


def test_the_lock_is_given_back_after_an_error(client: Any) -> None:
    with pytest.raises(ZeroDivisionError), writer_lock(client, "failing"):
        raise ZeroDivisionError
    with writer_lock(client, "next"):
        pass


def test_a_directory_that_cannot_be_written(client: Any, tmp_path: Path) -> None:
    (tmp_path / "minilm-writer.json").mkdir()
    with pytest.raises(StoreError, match="cannot be written"), writer_lock(client, "writing"):
        pass


def test_servers_and_memory_need_no_lock(tmp_path: Path) -> None:
    memory = chromadb.EphemeralClient()
    with chroma_server(tmp_path) as port:
        for client in (memory, chromadb.HttpClient(port=port)):
            assert local_directory(client) is None
            assert full_disk(client) == ""
            with writer_lock(client, "one"), writer_lock(client, "two"):
                pass


def test_a_full_disk_is_named(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert full_disk(client) == ""
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 2048}))
    assert full_disk(client) == f" The disk of {tmp_path} is full: 2 KiB are free."


ADD = """
import sys
from stores import fill, local_client, random_vectors
collection = local_client(sys.argv[1]).get_collection("docs", embedding_function=None)
vectors = random_vectors(1200, seed=2)
collection.upsert(ids=[f"theirs-{number}" for number in range(1200)], embeddings=vectors)
"""


def test_what_another_process_wrote_since_is_not_written_over(client: Any, tmp_path: Path) -> None:
    """Chroma alone puts the index that it has in memory over the one that another process has written."""
    collection = fill(client, "docs", random_vectors(1200))
    collection.query(query_embeddings=random_vectors(1), n_results=3)
    with writer_lock(client, "first"):
        collection.upsert(ids=["one"], embeddings=random_vectors(1, seed=1))
    environment = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])}
    subprocess.run([sys.executable, "-c", ADD, str(tmp_path)], env=clean_environment(environment), check=True)
    with writer_lock(collection._client, "second"):
        for start in range(0, 1200, 400):
            ids = [f"ours-{number}" for number in range(start, start + 400)]
            collection.upsert(ids=ids, embeddings=random_vectors(400, seed=start + 10))
    copy = tmp_path.with_name(f"{tmp_path.name}-copy")
    shutil.copytree(tmp_path, copy)
    for found in (collection, local_client(copy).get_collection("docs", embedding_function=None)):
        assert len(found.get(include=["embeddings"])["embeddings"]) == found.count() == 3601


def test_an_unchanged_database_keeps_its_indexes(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = fill(client, "docs", random_vectors(10))
    with writer_lock(client, "first"):
        collection.upsert(ids=["one"], embeddings=random_vectors(1))
    monkeypatch.setattr(type(collection._client), "start", lambda self: pytest.fail("the indexes are read again"))
    for holder in (client, collection._client):
        with writer_lock(holder, "second"):
            collection.upsert(ids=["two"], embeddings=random_vectors(1))
