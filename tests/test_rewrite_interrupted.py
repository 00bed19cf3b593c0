"""What the next call does with an interrupted rewriting, and with collections of the names that one needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rewriting import COUNT, METADATAS, TEXTS, Death, contents, interrupt, make, names, write_little_at_once
from stores import local_client, random_vectors

from minilm_retrieval.errors import CollectionNotFoundError, InvalidOptionError, RestartWarning, StoreError
from minilm_retrieval.maintenance.compact import compact_collections
from minilm_retrieval.maintenance.reembed import reembed_collection
from minilm_retrieval.maintenance.settings import MARK
from minilm_retrieval.maintenance.switch import Mark
from minilm_retrieval.store import open_collection


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return local_client(tmp_path)


@pytest.fixture
def small_writes(monkeypatch: pytest.MonkeyPatch, client: Any) -> None:
    write_little_at_once(monkeypatch, client)


def complete(client: Any) -> bool:
    mark = Mark.of(client.get_collection("docs.rewriting"))
    assert mark is not None
    return mark.complete


def steps_of(client: Any) -> list[str]:
    """The changes of a whole run, on a collection made for that."""
    make(client, "other")
    with pytest.MonkeyPatch.context() as patch:
        death = Death(patch, client)
        reembed_collection(client, "other")
    client.delete_collection("other")
    return death.calls


def test_work_for_another_target_is_thrown_away_with_a_warning(
    client: Any, fake_engine: Any, small_writes: None
) -> None:
    make(client)
    interrupt(3, reembed_collection, client, "docs", space="ip")
    assert 0 < client.get_collection("docs.rewriting").count() < COUNT
    with pytest.warns(RestartWarning, match="reembed of 'docs' was for another target; the .. records"):
        report = reembed_collection(client, "docs", space="cosine")
    assert (report.embedded, report.resumed) == (COUNT, 0)
    assert client.get_collection("docs").configuration_json["hnsw"]["space"] == "cosine"


def test_what_changed_since_the_interruption_is_copied_anew(client: Any, fake_engine: Any, small_writes: None) -> None:
    source = make(client)
    interrupt(3, reembed_collection, client, "docs")
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


def test_metadata_written_since_the_copy_began_is_kept(client: Any, fake_engine: Any, small_writes: None) -> None:
    source = make(client)
    source.modify(metadata={"owner": "me", "old": 1})
    interrupt(3, reembed_collection, client, "docs")
    source.modify(metadata={"owner": "you", "new": 2})
    reembed_collection(client, "docs")
    assert client.get_collection("docs").metadata == {"owner": "you", "new": 2}


def test_a_deleted_collection_does_not_come_back(client: Any, fake_engine: Any) -> None:
    """Its copy was complete, and the process died before the switch."""
    make(client)
    interrupt(steps_of(client).index("modify"), reembed_collection, client, "docs", done_first=True)
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
    interrupt(steps_of(client).index("modify"), reembed_collection, client, "docs", done_first=True)
    assert complete(client)
    source.add(ids=["late"], embeddings=random_vectors(1, 32), documents=["late"])
    interrupt(0, reembed_collection, client, "docs", done_first=True)
    assert not complete(client)
    reembed_collection(client, "docs")
    assert len(contents(client.get_collection("docs"))) == COUNT + 1


def test_a_gap_between_the_renames_is_said_and_not_filled(client: Any, fake_engine: Any) -> None:
    make(client)
    steps = steps_of(client)
    interrupt(steps.index("modify") + 2, reembed_collection, client, "docs")
    assert names(client) == ["docs.replaced", "docs.rewriting"]
    for create in (False, True):
        with pytest.raises(StoreError, match="minilm compact --collection docs"):
            open_collection("docs", client=client, create=create)
    compact_collections(client, ["docs"])
    assert contents(open_collection("docs", client=client)) == dict(
        zip((f"id-{number:05}" for number in range(COUNT)), zip(TEXTS, METADATAS, strict=True), strict=True)
    )


def test_a_collection_made_in_the_gap_is_not_overwritten(client: Any, fake_engine: Any) -> None:
    make(client)
    interrupt(steps_of(client).index("modify") + 2, reembed_collection, client, "docs")
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
