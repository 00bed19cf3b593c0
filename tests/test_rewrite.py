"""A collection is replaced by a rewritten one; killed at any moment, the next call finishes and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pytest
from chromadb import Collection
from stores import chroma_server, fill, local_client, random_vectors
from subprocesses import run_python

from minilm_retrieval.errors import (
    CollectionNotFoundError,
    InvalidOptionError,
    RestartWarning,
    StoreError,
    StoreLockedError,
)
from minilm_retrieval.maintenance.compact import compact_collections
from minilm_retrieval.maintenance.records import record_pages
from minilm_retrieval.maintenance.reembed import reembed_collection
from minilm_retrieval.maintenance.settings import MARK
from minilm_retrieval.maintenance.switch import Mark
from minilm_retrieval.store import open_collection
from minilm_retrieval.store.writer_lock import writer_lock

COUNT = 25
TEXTS = [f"text {number}" for number in range(COUNT)]
METADATAS: list[Any] = [{"number": number, "even": number % 2 == 0, "tags": ["a", "b"]} for number in range(COUNT)]


class Killed(BaseException):
    """Stands for the end of the process: nobody handles it."""


class Death:
    """Counts the calls that change the store, and dies at one of them: before it, or when it is done."""

    def __init__(self, patch: pytest.MonkeyPatch, client: Any) -> None:
        self.calls: list[str] = []
        self.at: int | None = None
        self.done_first = False
        for owner, names in ((Collection, ("upsert", "modify", "delete")), (type(client), CLIENT_CHANGES)):
            for name in names:
                patch.setattr(owner, name, self._deadly(name, getattr(owner, name)))

    def _deadly(self, name: str, action: Any) -> Any:
        def call(*args: Any, **rest: Any) -> Any:
            number = len(self.calls)
            self.calls.append(name)
            if number != self.at:
                return action(*args, **rest)
            if self.done_first:
                action(*args, **rest)
            raise Killed

        return call


CLIENT_CHANGES = ("create_collection", "delete_collection")
PAGED = (
    "minilm_retrieval.store.collection",
    *(f"minilm_retrieval.maintenance.{name}" for name in ("records", "rewrite", "compact")),
)


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return local_client(tmp_path)


@pytest.fixture
def small_writes(monkeypatch: pytest.MonkeyPatch, client: Any) -> None:
    """Several writes even of few records."""
    monkeypatch.setattr(type(client), "get_max_batch_size", lambda self: 10)
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 10)
    for module in PAGED:
        monkeypatch.setattr(f"{module}.PAGE", 10)


def make(client: Any, name: str = "docs", **options: Any) -> Any:
    options = {"documents": TEXTS, "metadatas": METADATAS, "space": "l2"} | options
    return fill(client, name, random_vectors(COUNT, 32), **options)


def contents(collection: Any) -> dict[str, Any]:
    return {
        record.id: (record.document, record.metadata)
        for page in record_pages(collection, vectors=False)
        for record in page
    }


def names(client: Any) -> list[str]:
    return sorted(collection.name for collection in client.list_collections())


@pytest.mark.parametrize("done_first", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("keep", [False, True], ids=["delete", "keep"])
def test_death_at_any_step_loses_nothing(
    tmp_path: Path, fake_engine: Any, done_first: bool, keep: bool, monkeypatch: Any, small_writes: None
) -> None:
    death = Death(monkeypatch, local_client(tmp_path / "0"))
    step = 0
    while True:
        client = local_client(tmp_path / str(step))
        before = contents(make(client))
        death.calls, death.at, death.done_first = [], step, done_first
        fake_engine.batches.clear()
        try:
            reembed_collection(client, "docs", keep=keep)
        except Killed:
            died = True
        else:
            died = False
        death.at = None
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
    while died:
        client = local_client(tmp_path / str(step))
        collection = make(client)
        before = contents(collection)
        vectors = vectors_of(collection)
        death.calls, death.at = [], step
        try:
            compact_collections(client, ["docs"])
            died = False
        except Killed:
            pass
        death.at = None
        complete = [client.get_collection(name, embedding_function=None) for name in names(client)]
        assert any((contents(found), vectors_of(found)) == (before, vectors) for found in complete)
        compact_collections(client)
        assert names(client) == ["docs"]
        after = client.get_collection("docs", embedding_function=None)
        assert (contents(after), vectors_of(after)) == (before, vectors)
        step += 1
    assert step >= 8


def vectors_of(collection: Any) -> dict[str, bytes]:
    return {
        record.id: record.vector.tobytes()
        for page in record_pages(collection, vectors=True)  # type: ignore[union-attr]
        for record in page
    }


def interrupt(client: Any, step: int, *, done_first: bool = False, **options: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        death = Death(patch, client)
        death.at, death.done_first = step, done_first
        with pytest.raises(Killed):
            reembed_collection(client, "docs", **options)


def test_work_for_another_target_is_thrown_away_with_a_warning(
    client: Any, fake_engine: Any, small_writes: None
) -> None:
    make(client)
    interrupt(client, 3, space="ip")
    assert 0 < client.get_collection("docs.rewriting").count() < COUNT
    with pytest.warns(RestartWarning, match="reembed of 'docs' was for another target; the .. records"):
        report = reembed_collection(client, "docs", space="cosine")
    assert (report.embedded, report.resumed) == (COUNT, 0)
    assert client.get_collection("docs").configuration_json["hnsw"]["space"] == "cosine"


def test_what_changed_since_the_interruption_is_copied_anew(client: Any, fake_engine: Any, small_writes: None) -> None:
    source = make(client)
    interrupt(client, 3)
    done = client.get_collection("docs.rewriting").get(limit=3)["ids"]
    source.delete(ids=[done[0]])
    source.update(ids=[done[1]], embeddings=random_vectors(1, 32), documents=["a new text"])
    source.delete(ids=[done[2]])
    source.add(
        ids=[done[2], "late"], embeddings=random_vectors(2, 32), documents=["x", "y"], metadatas=[{"z": 1}, None]
    )
    expected = contents(source)
    report = reembed_collection(client, "docs")
    assert contents(client.get_collection("docs", embedding_function=None)) == expected
    assert 3 <= report.embedded < COUNT


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with chroma_server(tmp_path_factory.mktemp("server")) as port:
        yield chromadb.HttpClient(port=port)


@pytest.fixture
def remote(server: Any) -> Any:
    for collection in server.list_collections():
        server.delete_collection(collection.name)
    return server


def test_what_is_written_to_a_server_while_copying_is_not_lost(remote: Any, fake_engine: Any, monkeypatch: Any) -> None:
    source = make(remote)
    upsert = Collection.upsert

    def writing(self: Any, **records: Any) -> None:
        """During the first pass, when the first lot has been copied."""
        upsert(self, **records)
        monkeypatch.setattr(Collection, "upsert", upsert)
        source.delete(ids=["id-00000"])
        source.update(
            ids=["id-00001"],
            documents=["a new text"],
            metadatas=[{"number": None, "z": 1}],
            embeddings=random_vectors(1, 32),
        )
        source.add(ids=["late"], embeddings=random_vectors(1, 32), documents=["late"])
        source.modify(metadata={"owner": "new"})

    monkeypatch.setattr(Collection, "upsert", writing)
    reembed_collection(remote, "docs")
    collection = remote.get_collection("docs", embedding_function=None)
    found = contents(collection)
    assert "id-00000" not in found
    assert found["id-00001"] == ("a new text", {"even": False, "tags": ["a", "b"], "z": 1})
    assert found["late"] == ("late", None)
    assert len(found) == COUNT
    assert collection.metadata == {"owner": "new"}


def test_after_the_switch_only_additions_to_the_old_collection_are_copied(
    remote: Any, fake_engine: Any, monkeypatch: Any
) -> None:
    """What is deleted or written in the new one by then stays so."""
    source = make(remote)
    modify = Collection.modify

    def renaming(self: Any, **change: Any) -> None:
        if change.get("name") == "docs.replaced":
            source.add(ids=["late", "twice"], embeddings=random_vectors(2, 32), documents=["late", "old"])
        modify(self, **change)
        if change.get("name") == "docs":
            self.delete(ids=["id-00000"])
            self.update(ids=["id-00001"], documents=["newer"], embeddings=random_vectors(1))
            self.add(ids=["twice"], documents=["newer"], embeddings=random_vectors(1))

    monkeypatch.setattr(Collection, "modify", renaming)
    assert reembed_collection(remote, "docs").embedded == COUNT + 1
    found = contents(remote.get_collection("docs", embedding_function=None))
    assert "id-00000" not in found
    assert (found["id-00001"][0], found["twice"][0], found["late"][0]) == ("newer", "newer", "late")


@pytest.mark.parametrize("space", ["l2", "ip"], ids=["finished", "thrown away"])
def test_a_second_rewriting_on_a_server_stops(remote: Any, fake_engine: Any, monkeypatch: Any, space: str) -> None:
    """Another process finishes the copy that this one fills, or makes one of its own; what is live is not touched."""
    make(remote)
    upsert = Collection.upsert

    def overtaken(self: Any, **records: Any) -> None:
        upsert(self, **records)
        monkeypatch.setattr(Collection, "upsert", upsert)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RestartWarning)
            reembed_collection(remote, "docs", space=space, keep=True)
        live = remote.get_collection("docs", embedding_function=None)
        live.add(ids=["new"], documents=["new"], embeddings=random_vectors(1))

    monkeypatch.setattr(Collection, "upsert", overtaken)
    with pytest.raises(StoreError, match=r"Another process has finished|Collection .* does not exist"):
        reembed_collection(remote, "docs")
    assert len(contents(remote.get_collection("docs", embedding_function=None))) == COUNT + 1


def test_metadata_written_since_the_copy_began_is_kept(client: Any, fake_engine: Any, small_writes: None) -> None:
    source = make(client)
    source.modify(metadata={"owner": "me", "old": 1})
    interrupt(client, 3)
    source.modify(metadata={"owner": "you", "new": 2})
    reembed_collection(client, "docs")
    assert client.get_collection("docs").metadata == {"owner": "you", "new": 2}


def test_a_deleted_collection_does_not_come_back(client: Any, fake_engine: Any) -> None:
    """Its copy was complete, and the process died before the switch."""
    make(client)
    interrupt(client, steps_of(client).index("modify"), done_first=True)
    assert complete(client)
    client.delete_collection("docs")
    with pytest.raises(CollectionNotFoundError):
        reembed_collection(client, "docs")
    assert compact_collections(client).collections == {}
    make(client, documents=["another"] * COUNT)
    with pytest.raises(StoreError, match=r"another collection of that name was made since.*'docs\.rewriting'"):
        reembed_collection(client, "docs")
    assert names(client) == ["docs", "docs.rewriting"]
    assert contents(client.get_collection("docs"))["id-00000"][0] == "another"


def test_a_copy_that_is_taken_up_again_does_not_count_as_complete(
    client: Any, fake_engine: Any, small_writes: None
) -> None:
    source = make(client)
    interrupt(client, steps_of(client).index("modify"), done_first=True)
    assert complete(client)
    source.add(ids=["late"], embeddings=random_vectors(1, 32), documents=["late"])
    interrupt(client, 0, done_first=True)
    assert not complete(client)
    reembed_collection(client, "docs")
    assert len(contents(client.get_collection("docs"))) == COUNT + 1


def complete(client: Any) -> bool:
    mark = Mark.of(client.get_collection("docs.rewriting"))
    assert mark is not None
    return mark.complete


def test_a_gap_between_the_renames_is_said_and_not_filled(client: Any, fake_engine: Any) -> None:
    make(client)
    steps = steps_of(client)
    interrupt(client, steps.index("modify") + 2)
    assert names(client) == ["docs.replaced", "docs.rewriting"]
    for create in (False, True):
        with pytest.raises(StoreError, match="minilm compact --collection docs"):
            open_collection("docs", client=client, create=create)
    compact_collections(client, ["docs"])
    assert contents(open_collection("docs", client=client)) == dict(
        zip((f"id-{number:05}" for number in range(COUNT)), zip(TEXTS, METADATAS, strict=True), strict=True)
    )


def steps_of(client: Any) -> list[str]:
    """The changes of a whole run, on a collection made for that."""
    make(client, "other")
    with pytest.MonkeyPatch.context() as patch:
        death = Death(patch, client)
        reembed_collection(client, "other")
    client.delete_collection("other")
    return death.calls


def test_a_collection_made_in_the_gap_is_not_overwritten(client: Any, fake_engine: Any) -> None:
    make(client)
    interrupt(client, steps_of(client).index("modify") + 2)
    other = client.create_collection("docs", embedding_function=None)
    other.add(ids=["mine"], embeddings=random_vectors(1, 32))
    with pytest.raises(StoreError, match="another collection of that name was made since"):
        reembed_collection(client, "docs")
    assert names(client) == ["docs", "docs.replaced", "docs.rewriting"]
    assert set(contents(other)) == {"mine"}


def test_foreign_collections_of_the_needed_names_are_left_alone(client: Any, fake_engine: Any) -> None:
    make(client)
    make(client, "docs.before")
    with pytest.raises(InvalidOptionError, match=r"collection 'docs\.before' already"):
        reembed_collection(client, "docs", keep=True)
    assert fake_engine.rows == 0
    reembed_collection(client, "docs")
    assert names(client) == ["docs", "docs.before"]
    make(client, "docs.rewriting")
    with pytest.raises(StoreError, match="belongs to another collection"):
        reembed_collection(client, "docs", force=True)
    client.get_collection("docs.rewriting").modify(name="docs.replaced")
    with pytest.raises(InvalidOptionError, match=r"collection 'docs\.replaced' already"):
        reembed_collection(client, "docs", force=True)
    assert len(contents(client.get_collection("docs.replaced"))) == COUNT


def test_a_mark_of_another_collection_deletes_nothing(client: Any) -> None:
    """Such as one that was copied with the metadata."""
    make(client, "docs.replaced")
    mark = Mark("docs", "b5a3b9a5-0000-4000-8000-000000000000", {"action": "compact"}, complete=True)
    client.create_collection("docs", metadata={MARK: str(mark)}, embedding_function=None)
    assert "'docs.replaced' already" in compact_collections(client, ["docs"]).failed["docs"]
    assert names(client) == ["docs", "docs.replaced"]


@pytest.mark.parametrize("metadata", [None, {"owner": "me", "version": 2}, {"hnsw:space": "ip", "hnsw:M": 30, "a": 1}])
def test_settings_and_metadata_are_kept(client: Any, metadata: Any) -> None:
    settings = {"ef_construction": 150, "max_neighbors": 20, "ef_search": 70, "sync_threshold": 500}
    legacy = metadata is not None and "hnsw:space" in metadata
    configuration = {} if legacy else {"configuration": {"hnsw": {"space": "ip", **settings}}}
    old = client.create_collection("docs", embedding_function=None, metadata=metadata, **configuration)
    old.add(
        ids=["a", "b", "c"],
        embeddings=random_vectors(3, 8),
        documents=["x", None, ""],
        metadatas=[{"k": 1}, None, None],
        uris=[None, "file:///b", None],
    )
    before = old.configuration_json["hnsw"]
    records = [record for page in record_pages(old, vectors=True) for record in page]
    compact_collections(client, ["docs"])
    new = client.get_collection("docs", embedding_function=None)
    assert new.id != old.id
    assert new.configuration_json["hnsw"] == before
    assert before["space"] == "ip"
    own = {key: value for key, value in (metadata or {}).items() if not key.startswith("hnsw:")}
    assert (new.metadata or {}) == own
    after = [record for page in record_pages(new, vectors=True) for record in page]
    assert all(one.equals(other) for one, other in zip(records, after, strict=True))
    assert [(record.document, record.metadata, record.uri) for record in after] == [
        ("x", {"k": 1}, None),
        (None, None, "file:///b"),
        ("", None, None),
    ]


def test_which_metadata_is_indexed_is_kept(client: Any) -> None:
    from chromadb.api.types import Schema, StringInvertedIndexConfig

    schema = Schema().delete_index(StringInvertedIndexConfig(), key="blob")
    old = client.create_collection("docs", schema=schema, metadata={"owner": "me"})
    old.add(ids=["a"], embeddings=random_vectors(1, 8), documents=["x"], metadatas=[{"blob": "long"}])
    before = client.get_collection("docs", embedding_function=None)
    assert compact_collections(client).failed == {}
    after = client.get_collection("docs", embedding_function=None)
    assert after.id != before.id
    assert after.schema.serialize_to_json() == before.schema.serialize_to_json()
    assert (after.configuration_json, after.metadata) == (before.configuration_json, {"owner": "me"})
    assert contents(after) == {"a": ("x", {"blob": "long"})}


def test_the_record_of_a_function_that_is_not_installed_is_kept(client: Any) -> None:
    from minilm_retrieval.maintenance.recorded_function import RecordedFunction
    from minilm_retrieval.store.collection import StoredFunction, stored_function

    recorded = StoredFunction("somebody_elses", {"model": "large", "window": [1, 2]})
    client.create_collection("docs", embedding_function=RecordedFunction(recorded))
    client.create_collection("plain", embedding_function=None)
    client.create_collection("default")
    compact_collections(client)
    kept = {name: stored_function(client.get_collection(name, embedding_function=None)) for name in names(client)}
    assert kept == {"docs": recorded, "plain": StoredFunction(None, {}), "default": StoredFunction("default", {})}


def test_only_one_writer(client: Any, tmp_path: Path) -> None:
    make(client)
    with writer_lock(client, "busy"), pytest.raises(StoreLockedError, match="busy"):
        reembed_collection(client, "docs")
    with writer_lock(client, "busy"), pytest.raises(StoreLockedError):
        compact_collections(client)
    with pytest.raises(CollectionNotFoundError):
        reembed_collection(client, "nope")


PROGRAM = """
import sys
from importlib import import_module
from minilm_retrieval.maintenance.compact import compact_collections
from minilm_retrieval.store import connect
for module in sys.argv[2:]:
    import_module(module).PAGE = 50
client = connect(path=sys.argv[1])
print("started", flush=True)
compact_collections(client, ["docs"])
print("finished", flush=True)
"""


def test_killed_processes_lose_nothing(tmp_path: Path) -> None:
    client = local_client(tmp_path)
    fill(client, "docs", random_vectors(3000, 64), documents=[f"text {number}" for number in range(3000)])
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), *PAGED]
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


READER = """
import json, sys
from test_rewrite import *
client = local_client(Path(sys.argv[1]))
collection = client.get_collection("docs")
vectors = [record.vector for page in record_pages(collection, vectors=True) for record in page]
print(json.dumps({
    "names": names(client),
    "same contents": contents(collection) == {f"id-{n:05}": (f"text {n}", None) for n in range(3000)},
    "same vectors": bool(np.allclose(sorted(map(list, vectors)), sorted(random_vectors(3000, 64).tolist()), atol=1e-6)),
}))
"""
