"""A collection is replaced by a rewritten one; killed at any moment, the next call finishes and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rewriting import COUNT, Death, contents, make, names, vectors_of, write_little_at_once
from stores import fill, local_client, random_vectors
from subprocesses import run_python

from minilm_retrieval.maintenance.compact import compact_collections
from minilm_retrieval.maintenance.reembed import reembed_collection
from minilm_retrieval.maintenance.settings import MARK


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return local_client(tmp_path)


@pytest.fixture
def small_writes(monkeypatch: pytest.MonkeyPatch, client: Any) -> None:
    write_little_at_once(monkeypatch, client)


@pytest.mark.parametrize("done_first", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("keep", [False, True], ids=["delete", "keep"])
def test_death_at_any_step_loses_nothing(
    tmp_path: Path, fake_engine: Any, done_first: bool, keep: bool, monkeypatch: Any, small_writes: None
) -> None:
    death = Death(monkeypatch, local_client(tmp_path / "0"), done_first=done_first)
    step = 0
    while True:
        client = local_client(tmp_path / str(step))
        before = contents(make(client))
        fake_engine.batches.clear()
        died = death.strikes(step, reembed_collection, client, "docs", keep=keep)
        complete = [name for name in names(client) if contents(client.get_collection(name)) == before]
        assert complete, f"no complete collection after step {step}: {death.calls[-1]}"
        report = reembed_collection(client, "docs", keep=keep)
        after = client.get_collection("docs", embedding_function=None)
        assert contents(after) == before
        assert names(client) == ["docs", *(["docs.before"] if keep else [])]
        assert np.asarray(after.get(limit=1, include=["embeddings"])["embeddings"]).shape == (1, 384)
        assert MARK not in (after.metadata or {})
        assert report.records == COUNT
        if not died:
            break
        # A lot that was computed but not written is computed again; at most two are on their way.
        assert fake_engine.rows <= COUNT + 30
        step += 1
    assert step >= (7 if keep else 8)


def test_a_compaction_also_survives_death_at_any_step(tmp_path: Path, monkeypatch: Any, small_writes: None) -> None:
    death = Death(monkeypatch, local_client(tmp_path / "0"))
    step = 0
    died = True
    reports = []

    def compact() -> None:
        reports.append(compact_collections(client, ["docs"]))

    while died:
        client = local_client(tmp_path / str(step))
        collection = make(client)
        before = contents(collection)
        vectors = vectors_of(collection)
        died = death.strikes(step, compact)
        assert not any(report.failed for report in reports), reports
        complete = [client.get_collection(name, embedding_function=None) for name in names(client)]
        assert any((contents(found), vectors_of(found)) == (before, vectors) for found in complete)
        compact_collections(client)
        assert names(client) == ["docs"]
        after = client.get_collection("docs", embedding_function=None)
        assert (contents(after), vectors_of(after)) == (before, vectors)
        step += 1
    assert step >= 8


PROGRAM = """
import sys
from minilm_retrieval.maintenance.compact import compact_collections
from minilm_retrieval.store import connect, limits
limits.PAGE = 50
client = connect(path=sys.argv[1])
print("started", flush=True)
compact_collections(client, ["docs"])
print("finished", flush=True)
"""


READER = """
import json, sys
from pathlib import Path
import numpy as np
from rewriting import contents, names, records
from stores import local_client, random_vectors
client = local_client(Path(sys.argv[1]))
collection = client.get_collection("docs")
vectors = [record.vector for record in records(collection)]
print(json.dumps({
    "names": names(client),
    "same contents": contents(collection) == {f"id-{n:05}": (f"text {n}", None) for n in range(3000)},
    "same vectors": bool(np.allclose(sorted(map(list, vectors)), sorted(random_vectors(3000, 64).tolist()), atol=1e-6)),
}))
"""


def test_killed_processes_lose_nothing(tmp_path: Path) -> None:
    client = local_client(tmp_path)
    fill(client, "docs", random_vectors(3000, 64), documents=[f"text {number}" for number in range(3000)])
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    killed_while_copying = 0
    for delay in (0.05, 0.2, 0.4):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        try:
            process.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        killed_while_copying += len(names(client)) > 1
    assert killed_while_copying > 0
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout == "started\nfinished\n", result.stderr
    assert json.loads(run_python(READER, str(tmp_path), PYTHONPATH=str(Path(__file__).parent))) == {
        "names": ["docs"],
        "same contents": True,
        "same vectors": True,
    }
