"""Stored collections as OpenAI's vector stores: the same hits as the retriever's, filters, pages and errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from asgi import asgi_client
from stores import TOPICS, fill, local_client
from subprocesses import run_python

from minilm_retrieval import Retriever, open_collection
from minilm_retrieval.server.filters import Comparison, Compound
from minilm_retrieval.store.client import connect

SEARCH = "/v1/vector_stores/topics/search"
METADATA = [{"number": number, "even": number % 2 == 0, "tags": ["a", "b"]} for number in range(len(TOPICS))]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A Chroma client with a collection of topics, one of another model, and an empty one; nothing writes to it."""
    client = local_client(tmp_path_factory.mktemp("store"))
    collection = open_collection("topics", client=client, create=True)
    collection.add(ids=TOPICS, documents=TOPICS, metadatas=METADATA)
    fill(client, "strange", np.eye(5, 7))
    open_collection("vacant", client=client, create=True)
    return client


@pytest.fixture
async def http(client: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with asgi_client(lambda: client) as made:
        yield made


def found(response: httpx.Response) -> list[tuple[str, float]]:
    assert response.status_code == 200, response.text
    page = response.json()
    assert page["object"] == "vector_store.search_results.page"
    assert (page["has_more"], page["next_page"]) == (False, None)
    return [(row["file_id"], row["score"]) for row in page["data"]]


async def test_hits_are_the_retrievers(http: httpx.AsyncClient, client: Any) -> None:
    expected = Retriever(open_collection("topics", client=client)).search("felines", k=4)
    response = await http.post(SEARCH, json={"query": "felines", "max_num_results": 4, "rewrite_query": False})
    hits = found(response)
    assert [id for id, _ in hits] == [hit.id for hit in expected]
    assert [score for _, score in hits] == pytest.approx([hit.score for hit in expected], abs=1e-6)
    first = response.json()["data"][0]
    assert first["content"] == [{"type": "text", "text": TOPICS[0]}]
    assert first["attributes"] == {"number": 0, "even": True, "tags": '["a", "b"]'}
    assert response.json()["search_query"] == ["felines"]


async def test_several_queries_give_each_record_once_with_its_best_score(http: httpx.AsyncClient, client: Any) -> None:
    queries = ["felines", "money"]
    retriever = Retriever(open_collection("topics", client=client))
    best: dict[str, float] = {}
    for hit in (hit for hits in retriever.search_many(queries, k=10) for hit in hits):
        best[hit.id] = max(hit.score, best.get(hit.id, -1))
    hits = found(await http.post(SEARCH, json={"query": queries, "max_num_results": 6}))
    assert [id for id, _ in hits] == sorted(best, key=lambda name: -best[name])[:6]
    assert [score for _, score in hits] == pytest.approx(sorted(best.values(), reverse=True)[:6], abs=1e-6)


@pytest.mark.parametrize("ranker", ["none", "auto", "default-2024-11-15"])
async def test_score_threshold(ranker: str, http: httpx.AsyncClient) -> None:
    options = {"ranker": ranker, "score_threshold": 0.2}
    hits = found(await http.post(SEARCH, json={"query": "felines", "ranking_options": options}))
    assert 0 < len(hits) < len(TOPICS)
    assert min(score for _, score in hits) >= 0.2


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({"type": "eq", "key": "number", "value": 3}, {3}),
        ({"type": "ne", "key": "even", "value": True}, {1, 3, 5, 7, 9}),
        ({"type": "gt", "key": "number", "value": 7}, {8, 9}),
        ({"type": "lte", "key": "number", "value": 1}, {0, 1}),
        ({"type": "in", "key": "number", "value": [2, 4, 77]}, {2, 4}),
        ({"type": "nin", "key": "number", "value": [0, 1, 2, 3, 4, 5, 6, 7]}, {8, 9}),
        ({"type": "and", "filters": [{"type": "eq", "key": "even", "value": True}]}, {0, 2, 4, 6, 8}),
        (
            {
                "type": "or",
                "filters": [
                    {"type": "eq", "key": "number", "value": 9},
                    {
                        "type": "and",
                        "filters": [
                            {"type": "lt", "key": "number", "value": 3},
                            {"type": "eq", "key": "even", "value": True},
                        ],
                    },
                ],
            },
            {9, 0, 2},
        ),
    ],
)
async def test_filters(filters: dict[str, Any], numbers: set[int], http: httpx.AsyncClient) -> None:
    hits = found(await http.post(SEARCH, json={"query": "anything", "filters": filters}))
    assert {TOPICS.index(id) for id, _ in hits} == numbers


def test_filters_as_chroma_writes_them() -> None:
    one = Comparison(type="in", key="k", value=["a", "b"])
    assert one.where() == {"k": {"$in": ["a", "b"]}}
    assert Compound(type="or", filters=[one]).where() == one.where()
    assert Compound(type="or", filters=[one, one]).where() == {"$or": [one.where(), one.where()]}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "query"),
        ({"query": []}, "query"),
        ({"query": 5}, "query"),
        ({"query": ["a"] * 17}, "query"),
        ({"query": "a", "max_num_results": 0}, "max_num_results"),
        ({"query": "a", "max_num_results": 51}, "max_num_results"),
        ({"query": "a", "filters": {"type": "like", "key": "k", "value": 1}}, "filters"),
        ({"query": "a", "filters": {"type": "and", "filters": []}}, "filters"),
        ({"query": "a", "filters": {"type": "eq", "key": "k", "value": None}}, "filters"),
        ({"query": "a", "ranking_options": {"score_threshold": 2}}, "ranking_options"),
    ],
)
async def test_what_is_wrong_is_named(body: dict[str, Any], param: str, http: httpx.AsyncClient) -> None:
    response = await http.post(SEARCH, json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


FORMS = "is of none of the forms that are taken: "


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"query": []}, "query is an empty list; expected at least one text."),
        ({"query": 5}, f"query {FORMS}One text, or a list of 1 to 16 texts."),
        ({"query": ["a"] * 17}, f"query {FORMS}One text, or a list of 1 to 16 texts."),
        ({"query": ["a", 5]}, f"query {FORMS}One text, or a list of 1 to 16 texts."),
        ({"query": "a", "filters": {}}, f"filters {FORMS}A comparison, "),
        ({"query": "a", "filters": {"type": "like"}}, f"filters {FORMS}A comparison, "),
        ({"query": "a", "filters": {"type": "or", "filters": [{}]}}, f"filters {FORMS}A comparison, "),
        ({"query": "a", "filters": {"type": "eq", "key": "k"}}, "filters.eq.value: Field required."),
    ],
)
async def test_what_was_expected_is_said(body: dict[str, Any], message: str, http: httpx.AsyncClient) -> None:
    response = await http.post(SEARCH, json=body)
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith(message)


@pytest.mark.parametrize(
    "filters",
    [
        {"type": "gt", "key": "number", "value": "text"},
        {"type": "eq", "key": "number", "value": [1, 2]},
        {"type": "in", "key": "number", "value": 1},
        {"type": "in", "key": "number", "value": []},
        {"type": "in", "key": "number", "value": [1, "a"]},
        {"type": "eq", "key": "$and", "value": 1},
        {"type": "or", "filters": [{"type": "eq", "key": "a", "value": 1}] * 3000},
    ],
)
async def test_a_filter_that_chroma_refuses_is_the_clients_mistake(
    filters: dict[str, Any], http: httpx.AsyncClient
) -> None:
    response = await http.post(SEARCH, json={"query": "a", "filters": filters})
    assert response.status_code == 400, response.text


async def test_collections_that_cannot_be_searched(http: httpx.AsyncClient) -> None:
    absent = await http.post("/v1/vector_stores/absent/search", json={"query": "a"})
    assert (absent.status_code, absent.json()["error"]["code"]) == (404, "vector_store_not_found")
    assert "topics" in absent.json()["error"]["message"]
    strange = await http.post("/v1/vector_stores/strange/search", json={"query": "a"})
    assert (strange.status_code, strange.json()["error"]["code"]) == (400, "other_model")
    assert found(await http.post("/v1/vector_stores/vacant/search", json={"query": "a"})) == []


async def test_without_collections(fake_engine: Any) -> None:
    async with asgi_client() as http:
        for response in (await http.get("/v1/vector_stores"), await http.post(SEARCH, json={"query": "a"})):
            assert response.status_code == 404
            assert "--path" in response.json()["error"]["message"]


async def test_lists_go_on_after_a_name(http: httpx.AsyncClient) -> None:
    listed = (await http.get("/v1/vector_stores", params={"order": "asc"})).json()
    assert [store["id"] for store in listed["data"]] == ["strange", "topics", "vacant"]
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("strange", "vacant", False)
    first = (await http.get("/v1/vector_stores", params={"limit": 1})).json()
    assert ([store["id"] for store in first["data"]], first["has_more"]) == (["vacant"], True)
    rest = (await http.get("/v1/vector_stores", params={"after": "vacant"})).json()
    assert [store["id"] for store in rest["data"]] == ["topics", "strange"]
    before = (await http.get("/v1/vector_stores", params={"before": "strange"})).json()
    assert [store["id"] for store in before["data"]] == ["vacant", "topics"]
    assert (await http.get("/v1/vector_stores", params={"after": "nobody"})).status_code == 404
    for wrong in ({"limit": 0}, {"limit": "x"}, {"order": "up"}):
        assert (await http.get("/v1/vector_stores", params=wrong)).status_code == 400


async def test_one_collection_described(http: httpx.AsyncClient) -> None:
    store = (await http.get("/v1/vector_stores/topics")).json()
    assert store["file_counts"]["total"] == len(TOPICS)
    assert store["metadata"] == {"space": "cosine", "embedding_function": "minilm_retrieval"}
    assert (await http.get("/v1/vector_stores/absent")).status_code == 404


WRITE = """
import sys
from minilm_retrieval import Document, index_documents, open_collection
collection = open_collection("notes", path=sys.argv[1], create=True)
index_documents(collection, [Document(name, f"A cat named {name}.") for name in sys.argv[2:]])
"""


async def test_what_another_process_writes_and_rewrites_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minilm_retrieval.server.stores._FRESH_SECONDS", 0.0)
    path = str(tmp_path / "store")
    run_python(WRITE, path, "one")

    async def search(http: httpx.AsyncClient) -> httpx.Response:
        return await http.post("/v1/vector_stores/notes/search", json={"query": "cat"})

    async with asgi_client(lambda: connect(path=path)) as http:
        assert len(found(await search(http))) == 1
        run_python(WRITE, path, "two", "three")
        assert len(found(await search(http))) == 3
        client = connect(path=path)
        client.delete_collection("notes")
        assert (await search(http)).status_code == 404
        run_python(WRITE, path, "four", "five")
        assert len(found(await search(http))) == 2


async def test_searches_go_on_while_another_process_writes(tmp_path: Path) -> None:
    path = str(tmp_path / "store")
    run_python(WRITE, path, "first")
    async with asgi_client(lambda: connect(path=path)) as http:
        names = [f"name-{number}" for number in range(300)]
        script = f"import time\n{WRITE}\nfor part in range(4):\n" + (
            "    index_documents(collection, [Document(f'{part}-{n}', f'Cat {part} {n}.') for n in range(20)])\n"
            "    time.sleep(0.3)\n"
        )
        writing = asyncio.ensure_future(asyncio.to_thread(run_python, script, path, *names))
        statuses = []
        while not writing.done():
            statuses.append((await http.post("/v1/vector_stores/notes/search", json={"query": "cat"})).status_code)
            await asyncio.sleep(0.02)
        await writing
        assert set(statuses) == {200}
        assert len(statuses) > 10
