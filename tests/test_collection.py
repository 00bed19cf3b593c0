from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chromadb
import pytest
from small_models import SmallModel
from stores import chroma_server, fill, local_client, random_vectors

from chroma_minilm import MiniLMEmbeddingFunction
from langchain_minilm import MiniLMEmbeddings
from llama_index_minilm import MiniLMEmbedding
from minilm_retrieval import Document, MiniLMEmbedder, Retriever, index_documents, open_collection
from minilm_retrieval.errors import CollectionMismatchError, CollectionNotFoundError, InvalidOptionError, StoreError
from minilm_retrieval.ingest import remove_documents
from minilm_retrieval.maintenance import describe_collection, verify_collection
from minilm_retrieval.store.client import connect
from minilm_retrieval.store.collection import space_of
from minilm_retrieval.store.paging import pages
from minilm_retrieval.store.stored_function import stored_function


@pytest.mark.parametrize("space", ["cosine", "l2", "ip"])
def test_new_collection_records_space_and_function(tmp_path: Path, space: str) -> None:
    collection = open_collection("docs", path=tmp_path, create=True, space=space)
    assert space_of(collection) == space
    function = stored_function(collection)
    assert function.name == "minilm_retrieval"
    assert function.fingerprint == MiniLMEmbedder().fingerprint


def test_space_of_old_collections_is_in_their_metadata(tmp_path: Path) -> None:
    client = local_client(tmp_path)
    old = client.create_collection("old", embedding_function=None, metadata={"hnsw:space": "ip"})
    plain = client.create_collection("plain", embedding_function=None)
    assert space_of(old) == "ip"
    assert space_of(plain) == "l2"


def test_space_is_read_from_spann_and_from_bare_metadata() -> None:
    class Stored:
        def __init__(self, configuration: Any, metadata: Any) -> None:
            self.configuration_json, self.metadata = configuration, metadata

    stored: list[Any] = [
        Stored({"hnsw": None, "spann": {"space": "ip"}}, None),
        Stored({}, {"hnsw:space": "cosine"}),
        Stored(None, None),
    ]
    assert [space_of(collection) for collection in stored] == ["ip", "cosine", "l2"]


def test_collection_is_opened_again_with_what_it_holds(tmp_path: Path) -> None:
    made = open_collection("docs", path=tmp_path, create=True)
    made.add(ids=["a"], documents=["hello"])
    assert open_collection("docs", path=tmp_path).get()["documents"] == ["hello"]


def test_existing_client_is_used() -> None:
    client = chromadb.EphemeralClient()
    collection = open_collection("in-memory", client=client, create=True)
    assert [found.name for found in client.list_collections()].count(collection.name) == 1


def test_directory_that_the_process_has_open_already(tmp_path: Path) -> None:
    client = chromadb.PersistentClient(str(tmp_path))
    client.create_collection("docs", embedding_function=None)
    assert open_collection("docs", path=tmp_path).name == "docs"


def test_a_relative_path_is_one_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "one"):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / name)
        client = connect(path="chroma", create=True)
        open_collection(name, client=client, create=True)
        assert [collection.name for collection in client.list_collections()] == [name]


def test_a_directory_may_have_the_name_of_an_old_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("local", "rest", "duckdb"):
        open_collection("docs", path=name, create=True)
        assert open_collection("docs", path=tmp_path / name).name == "docs"


def test_missing_collection_lists_those_there_are(tmp_path: Path) -> None:
    open_collection("alpha", path=tmp_path, create=True)
    with pytest.raises(CollectionNotFoundError, match=r"No collection 'beta' here. There are: alpha"):
        open_collection("beta", path=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "got none of them"),
        ({"path": "a", "host": "b"}, "got path and host"),
        ({"path": "a", "port": 1}, "go with host"),
        ({"path": ""}, "path must be a directory, got ''"),
        ({"path": 5}, "path must be a directory, got 5"),
        ({"host": ""}, "host must be a server's name or address, got ''"),
        ({"host": 5}, "host must be a server's name or address, got 5"),
        ({"host": "h", "headers": {"X-A": 5}}, "header 'X-A' cannot be sent"),
        ({"path": "a", "space": "euclid"}, "expected one of cosine, l2, ip"),
    ],
)
def test_wrong_places_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        open_collection("docs", **arguments)


def test_wrong_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError, match=r"'a'.*3-512 characters"):
        open_collection("a", path=tmp_path, create=True)


def test_a_name_is_never_a_part_of_an_address(tmp_path: Path) -> None:
    with chroma_server(tmp_path) as port:
        open_collection("docs", host="localhost", port=port, create=True)
        for name in ("..", "../docs", "docs/", "./docs", "a/../docs", "docs?x=1", ""):
            with pytest.raises(CollectionNotFoundError, match="There are: docs"):
                open_collection(name, host="localhost", port=port)


@pytest.mark.parametrize("name", [None, 5, b"docs"])
def test_a_name_is_a_text(tmp_path: Path, name: Any) -> None:
    with pytest.raises(InvalidOptionError, match="A collection's name is a text, got"):
        open_collection(name, path=tmp_path, create=True)


def test_a_collection_of_ones_own_model_embeds_with_it_when_it_is_opened_again(
    tmp_path: Path, small_model: SmallModel
) -> None:
    own = MiniLMEmbedder(small_model.write())
    made = open_collection("own", path=tmp_path / "store", create=True, embedder=own)
    made.add(ids=["a", "b"], documents=["apples", "engines"])
    opened = open_collection("own", path=tmp_path / "store", embedder=own)
    assert opened.query(query_texts=["apples"], n_results=1)["ids"] == [["a"]]
    with pytest.raises(CollectionMismatchError, match="Pass the one it was made with"):
        open_collection("own", path=tmp_path / "store", embedder=MiniLMEmbedder())


def test_what_is_no_embedder_is_refused(tmp_path: Path) -> None:
    for wrong in ("all-MiniLM-L6-v2", MiniLMEmbeddingFunction()):
        with pytest.raises(InvalidOptionError, match="embedder must be a MiniLMEmbedder, got"):
            open_collection("docs", path=tmp_path, create=True, embedder=wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidOptionError, match="embedder must be a MiniLMEmbedder, got"):
            Retriever(open_collection("docs", path=tmp_path, create=True), wrong)  # type: ignore[arg-type]


class Asynchronous:
    """As a collection of an asynchronous client is to those who look at its methods."""

    async def get(self) -> None: ...


CALLS: list[Callable[[Any, Any], Any]] = [
    Retriever,
    lambda collection, embedder: index_documents(collection, [Document("a", "text")], embedder),
    verify_collection,
    describe_collection,
]


@pytest.mark.parametrize("call", CALLS)
def test_a_frameworks_class_is_no_embedder_and_says_where_its_own_is(tmp_path: Path, call: Any) -> None:
    collection = open_collection("docs", path=tmp_path, create=True)
    for wrong in (MiniLMEmbeddingFunction(), MiniLMEmbeddings(), MiniLMEmbedding(), "all-MiniLM-L6-v2"):
        with pytest.raises(
            InvalidOptionError, match=f"got {type(wrong).__name__}.* hold theirs as the attribute embed"
        ):
            call(collection, wrong)
    call(collection, MiniLMEmbeddings().embedder)


@pytest.mark.parametrize("call", [*CALLS, lambda collection, _: remove_documents(collection, ["a"])])
def test_what_is_no_collection_is_refused_by_name(call: Any) -> None:
    with pytest.raises(InvalidOptionError, match="Expected a Chroma collection, got str"):
        call("docs", None)
    with pytest.raises(InvalidOptionError, match="synchronous Chroma client, got one of an asynchronous client"):
        call(Asynchronous(), None)


def test_opening_loads_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.embedder.load_model", lambda name: pytest.fail("loaded"))
    for _ in range(2):
        open_collection("docs", path=tmp_path, create=True)
        open_collection("others", path=tmp_path, create=True, embedder=MiniLMEmbedder(max_seq_length=128))


async def test_an_asynchronous_client_is_refused(tmp_path: Path) -> None:
    with chroma_server(tmp_path) as port:
        client = await chromadb.AsyncHttpClient("localhost", port)
        with pytest.raises(InvalidOptionError, match="client must be a synchronous Chroma client"):
            open_collection("docs", client=client)  # type: ignore[arg-type]


def test_a_directory_removed_while_it_is_open_is_said(tmp_path: Path) -> None:
    open_collection("docs", path=tmp_path / "store", create=True)
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(StoreError, match="was removed while this process had it open"):
        open_collection("docs", path=tmp_path / "store", create=True)


def test_directory_without_database_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no Chroma database"):
        open_collection("docs", path=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_damaged_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreError, match="cannot be opened"):
        open_collection("docs", path=tmp_path)


def test_server_that_is_not_there(unused_tcp_port: int) -> None:
    with pytest.raises(StoreError, match=f"No Chroma server answers at http://localhost:{unused_tcp_port}"):
        open_collection("docs", host="localhost", port=unused_tcp_port)


def test_pages_give_every_record_once(tmp_path: Path) -> None:
    vectors = random_vectors(25)
    collection = fill(local_client(tmp_path), "docs", vectors)
    read = list(pages(collection, 10))
    assert [len(ids) for ids, _ in read] == [10, 10, 5]
    assert sorted(id for ids, _ in read for id in ids) == [f"id-{number:05}" for number in range(25)]


def test_client_made_here_sends_no_telemetry(tmp_path: Path) -> None:
    collection = open_collection("docs", path=tmp_path, create=True)
    assert collection._client._system.settings.anonymized_telemetry is False
