from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import chromadb
import pytest
from stores import chroma_server, local_client
from subprocesses import clean_environment

from minilm_retrieval.errors import StoreError, StoreLockedError
from minilm_retrieval.store.writer_lock import full_disk, local_directory, writer_lock

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
        expected = rf"pid {process.pid} on .*, since 20.*, holding: -c .*Wait until"
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
    refused = pytest.raises(StoreLockedError, match=rf"pid {os.getpid()} ")
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
