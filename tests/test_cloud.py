"""Chroma Cloud, by a stand-in before a real server that asks for a key and refuses more than the documented quotas."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine
from front import Front, Refusal
from snapshots import Snapshot, assert_equal, built_from_scratch, snapshot
from stores import TOPICS
from typer.testing import CliRunner

from minilm_retrieval import Document, MiniLMEmbedder, Retriever, index_documents, open_collection
from minilm_retrieval.cli.main import app
from minilm_retrieval.errors import StoreError
from minilm_retrieval.maintenance import compact_collections, verify_collection
from minilm_retrieval.store import connect

MOST = 300
KEY = "ck-SECRET"
DOCUMENTS = [Document(f"note-{n}", f"{TOPICS[n % 10]} Number {n}.", {"even": n % 2 == 0}) for n in range(700)]


def cloud(method: str, path: str, body: Any) -> Refusal | None:
    """Refuse what is more than a quota; the key's tenant and database are Chroma's defaults."""
    if path.endswith("/auth/identity"):
        return 200, {"user_id": "u", "tenant": "default_tenant", "databases": ["default_database"]}
    sizes = [len((body or {}).get("ids") or []), (body or {}).get("limit") or 0, (body or {}).get("n_results") or 0]
    unbounded = path.endswith("/get") and not (body.get("ids") or body.get("limit"))
    if method == "POST" and (max(sizes) > MOST or unbounded):
        return 422, {"error": "InvalidArgumentError", "message": f"Quota exceeded: {path} {max(sizes)}"}
    return None


@pytest.fixture
def stand_in(chroma_front: Front) -> Front:
    chroma_front.answers = cloud
    return chroma_front


def test_all_that_is_done_with_a_collection_keeps_to_the_quotas(
    stand_in: Front, behind: int, tmp_path: Path, fake_engine: FakeEngine
) -> None:
    embedder = MiniLMEmbedder()
    expected = built_from_scratch(tmp_path / "local", DOCUMENTS[:400], embedder)
    place: dict[str, Any] = {"host": "127.0.0.1", "port": stand_in.port, "api_key": KEY}
    collection = open_collection("docs", **place, create=True, embedder=embedder)
    assert index_documents(collection, DOCUMENTS, embedder).added == 700
    assert index_documents(collection, DOCUMENTS[:400], embedder, prune=True).deleted == 300
    assert_equal(stored(behind), expected)
    there = Retriever(collection, embedder)
    here = Retriever(open_collection("docs", path=tmp_path / "local"), embedder)
    for options in ({}, {"exact": True}, {"k": 350}, {"where": {"even": True}}, {"k": 350, "exact": False}):
        asked: Any = {"k": 5, **options}
        found, wanted = there.search(TOPICS[0], **asked), here.search(TOPICS[0], **asked)
        assert [hit.id for hit in found] == [hit.id for hit in wanted]
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted], abs=1e-6)
    assert not verify_collection(collection, embedder).faults
    compact_collections(connect(**place), ["docs"])
    assert_equal(stored(behind), expected)


def stored(behind: int) -> Snapshot:
    """Read by way of the server behind: the quotas are not the tests' own."""
    return snapshot(open_collection("docs", host="127.0.0.1", port=behind))


def test_what_the_cloud_refuses_is_said(stand_in: Front, fake_engine: FakeEngine) -> None:
    def refusing(method: str, path: str, body: Any) -> Refusal | None:
        if path.endswith("/upsert"):
            return 422, {"error": "InvalidArgumentError", "message": "Quota exceeded: metadata value size"}
        return cloud(method, path, body)

    embedder = MiniLMEmbedder()
    collection = open_collection(
        "refused", host="127.0.0.1", port=stand_in.port, api_key=KEY, create=True, embedder=embedder
    )
    stand_in.answers = refusing
    with pytest.raises(StoreError, match=r"Quota exceeded: metadata value size.* 0 passages of this run were written"):
        index_documents(collection, DOCUMENTS[:3], embedder)
    assert stand_in.times("POST", "upsert") == 1


def test_a_wrong_key_is_refused_and_not_shown(stand_in: Front) -> None:
    stand_in.answers = lambda method, path, body: (
        (401, {"error": "AuthError", "message": "wrong token"}) if path.endswith("identity") else None
    )
    with pytest.raises(StoreError, match="wrong token") as caught:
        connect(host="127.0.0.1", port=stand_in.port, api_key=KEY)
    assert KEY not in str(caught.value)
    assert stand_in.times("GET", "identity") == 1


def test_the_command_takes_the_key_from_the_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHROMA_API_KEY", raising=False)
    answer = CliRunner().invoke(app, ["search", "cats", "--cloud"])
    assert (answer.exit_code, "CHROMA_API_KEY" in answer.stderr) == (2, True)
    monkeypatch.setitem(os.environ, "CHROMA_API_KEY", "two\nlines")
    answer = CliRunner().invoke(app, ["search", "cats", "--cloud"])
    assert answer.exit_code == 2
    assert "lines" not in answer.stderr.replace("line breaks", "")
