"""The clients that users have, each the real package against a running server: vectors equal to the core's."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import tiktoken
from chromadb.utils.embedding_functions import OpenAIEmbeddingFunction
from cl100k import cl100k_cache
from langchain_openai import OpenAIEmbeddings
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from running import running_server
from stores import TOPICS

from minilm_retrieval import Document, MiniLMEmbedder, Retriever, index_documents, open_collection

MODEL = "text-embedding-ada-002"
TEXTS = ["How long does a cat rest?", "", "Zwölf Boxkämpfer, naïve café 🙂", "改善\n\n  日本語 ", TOPICS[4] * 12]
KINDS = ["text", "texts", "tokens", "tokens of several", "the empty text", "a text to be cut"]
LONG = "The cat sat on the mat. " * 1500


@dataclass(frozen=True)
class Place:
    """Where the clients find the server, and where its collections are."""

    url: str
    path: Path


@pytest.fixture(scope="module")
def place(standard_directory: Path, embedder: MiniLMEmbedder, tmp_path_factory: Any) -> Iterator[Place]:
    """A server with a collection; the clients find the file of cl100k_base, as a user without a network would."""
    path = tmp_path_factory.mktemp("chroma")
    collection = open_collection("docs", path=path, create=True, embedder=embedder)
    documents = [Document(f"{number}.txt", text, {"number": number}) for number, text in enumerate(TOPICS)]
    index_documents(collection, documents, embedder)
    open_collection("vacant", path=path, create=True, embedder=embedder)
    with pytest.MonkeyPatch.context() as patch, running_server("--path", str(path)) as server:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(cl100k_cache()))
        patch.setenv("NO_PROXY", "127.0.0.1")
        for name in ("OPENAI_API_KEY", "HUGGINGFACE_API_KEY"):
            patch.delenv(name, raising=False)
        yield Place(server.url, path)


@pytest.fixture
def base_url(place: Place) -> str:
    return f"{place.url}/v1"


@pytest.fixture
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key="any", max_retries=0) as client:
        yield client


def sent(kind: str) -> tuple[Any, list[str]]:
    """Return what a client sends, and the texts that it stands for."""
    rows = tiktoken.get_encoding("cl100k_base").encode_ordinary_batch(TEXTS)
    return {
        "text": (TEXTS[0], TEXTS[:1]),
        "texts": (TEXTS, TEXTS),
        "tokens": (rows[3], TEXTS[3:4]),
        "tokens of several": ([row for row in rows if row], [text for text in TEXTS if text]),
        "the empty text": ("", [""]),
        "a text to be cut": (LONG, [LONG]),
    }[kind]


def check(vectors: Any, texts: list[str], embedder: MiniLMEmbedder) -> None:
    """Make sure that these are the core's vectors of the texts, in their order."""
    assert np.shape(vectors) == (len(texts), 384)
    assert np.abs(np.asarray(vectors, dtype=np.float64) - embedder.encode(texts)).max() <= 1e-6


def check_response(response: Any, texts: list[str], embedder: MiniLMEmbedder) -> None:
    check([row.embedding for row in response.data], texts, embedder)
    assert [row.index for row in response.data] == list(range(len(texts)))
    assert (response.object, response.model) == ("list", MODEL)
    read = sum(min(count, embedder.max_seq_length) for count in embedder.count_tokens(texts))
    assert (response.usage.prompt_tokens, response.usage.total_tokens) == (read, read)


@pytest.mark.parametrize("options", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
async def test_openai(
    kind: str, options: dict[str, Any], client: openai.OpenAI, base_url: str, embedder: MiniLMEmbedder
) -> None:
    input, texts = sent(kind)
    response = client.embeddings.create(model=MODEL, input=input, **options)
    async with openai.AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0) as asynchronous:
        same = await asynchronous.embeddings.create(model=MODEL, input=input, **options)
    if options.get("encoding_format") == "base64":
        # Who asks for it gets it as it is; the client decodes what it asked for by itself.
        for row in [*response.data, *same.data]:
            row.embedding = np.frombuffer(base64.b64decode(row.embedding), dtype="<f4").tolist()
    check_response(response, texts, embedder)
    check_response(same, texts, embedder)


def test_openai_says_what_was_wrong(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="dimensions must be 384") as wrong:
        client.embeddings.create(model=MODEL, input="a", dimensions=128)
    assert (wrong.value.param, wrong.value.type) == ("dimensions", "invalid_request_error")
    with pytest.raises(openai.BadRequestError, match="cl100k_base"):
        client.embeddings.create(model=MODEL, input=[100_300])
    with pytest.raises(openai.NotFoundError, match="nowhere"):
        client.vector_stores.search(vector_store_id="nowhere", query="a")


def test_openai_knows_the_model(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["all-MiniLM-L6-v2"]
    assert client.models.retrieve("all-MiniLM-L6-v2").object == "model"


def test_openai_sees_what_was_cut(client: openai.OpenAI) -> None:
    response = client.embeddings.with_raw_response.create(model=MODEL, input=["short", LONG])
    assert response.headers["x-truncated-positions"] == "1"
    assert response.headers["x-request-id"] == response.parse()._request_id


@pytest.mark.parametrize("options", [{}, {"check_embedding_ctx_length": False}, {"chunk_size": 2}], ids=str)
async def test_langchain(options: dict[str, Any], base_url: str, embedder: MiniLMEmbedder) -> None:
    embeddings = OpenAIEmbeddings(base_url=base_url, api_key="any", **options)
    check(embeddings.embed_documents(TEXTS), TEXTS, embedder)
    check(await embeddings.aembed_documents(TEXTS), TEXTS, embedder)
    for text in TEXTS:
        check([embeddings.embed_query(text)], [text], embedder)
    check([await embeddings.aembed_query(TEXTS[2])], TEXTS[2:3], embedder)


def test_langchain_averages_what_is_very_long(base_url: str) -> None:
    embeddings = OpenAIEmbeddings(base_url=base_url, api_key="any")
    count = len(tiktoken.get_encoding("cl100k_base").encode_ordinary(LONG))
    assert count > embeddings.embedding_ctx_length
    vector = embeddings.embed_query(LONG)
    assert len(vector) == 384
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_langchain_by_its_older_names(base_url: str, embedder: MiniLMEmbedder) -> None:
    embeddings = OpenAIEmbeddings(openai_api_base=base_url, openai_api_key="any")
    check([embeddings.embed_query(TEXTS[0])], TEXTS[:1], embedder)


async def test_llama_index(base_url: str, embedder: MiniLMEmbedder) -> None:
    model = OpenAILikeEmbedding(model_name="all-MiniLM-L6-v2", api_base=base_url, api_key="any", embed_batch_size=3)
    # It replaces line breaks by spaces, which is all the same to the model.
    check(model.get_text_embedding_batch(TEXTS), TEXTS, embedder)
    check(await model.aget_text_embedding_batch(TEXTS), TEXTS, embedder)
    check([model.get_text_embedding(TEXTS[1]), model.get_query_embedding(TEXTS[1])], TEXTS[1:2] * 2, embedder)
    check([await model.aget_query_embedding(TEXTS[0])], TEXTS[:1], embedder)


@pytest.mark.filterwarnings("ignore:Direct api_key configuration:DeprecationWarning")
def test_chroma(base_url: str, embedder: MiniLMEmbedder) -> None:
    function = OpenAIEmbeddingFunction(api_key="any", api_base=base_url, model_name="all-MiniLM-L6-v2")
    check(function(TEXTS), TEXTS, embedder)
    check(function.embed_query(TEXTS[:1]), TEXTS[:1], embedder)
    # As many as Chroma writes at once come in one request.
    texts = [f"note {number}" for number in range(5461)]
    vectors = function(texts)
    assert len(vectors) == len(texts)
    sample = slice(None, None, 780)
    check(vectors[sample], texts[sample], embedder)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings", f"/v1/engines/{MODEL}/embeddings"])
def test_plain_http(path: str, place: Place, embedder: MiniLMEmbedder) -> None:
    for kind in KINDS:
        input, texts = sent(kind)
        response = httpx.post(place.url + path, json={"input": input, "model": MODEL}, timeout=60)
        assert response.status_code == 200
        check([row["embedding"] for row in response.json()["data"]], texts, embedder)


def test_search_through_openai(client: openai.OpenAI, place: Place, embedder: MiniLMEmbedder) -> None:
    retriever = Retriever(open_collection("docs", path=place.path, embedder=embedder), embedder)
    query = "How do leaves feed a plant?"
    page = client.vector_stores.search(
        vector_store_id="docs",
        query=query,
        filters={
            "type": "and",
            "filters": [
                {"type": "gte", "key": "number", "value": 2},
                {"type": "nin", "key": "number", "value": [3, 8]},
            ],
        },
        max_num_results=4,
        ranking_options={"ranker": "none", "score_threshold": 0.02},
        rewrite_query=False,
    )
    where = {"$and": [{"number": {"$gte": 2}}, {"number": {"$nin": [3, 8]}}]}
    check_hits(page.data, retriever.search(query, k=4, where=where, min_score=0.02))
    assert page.data[0].attributes is not None
    assert (page.data[0].filename, page.data[0].attributes["number"]) == ("5.txt", 5)
    check_hits(client.vector_stores.search("docs", query=query).data, retriever.search(query, k=10))
    for row, text in zip(retriever.search_many(TOPICS[:3], k=1), TOPICS[:3], strict=True):
        check_hits(client.vector_stores.search("docs", query=[text], max_num_results=1).data, row)


def check_hits(results: list[Any], hits: list[Any]) -> None:
    assert hits
    assert [result.file_id for result in results] == [hit.id for hit in hits]
    assert [result.content[0].text for result in results] == [hit.document for hit in hits]
    assert [result.score for result in results] == pytest.approx([hit.score for hit in hits], abs=1e-6)


async def test_stores_through_openai(client: openai.OpenAI, base_url: str) -> None:
    # Page by page, which the client turns itself.
    assert [store.id for store in client.vector_stores.list(limit=1, order="asc")] == ["docs", "vacant"]
    store = client.vector_stores.retrieve("docs")
    assert (store.name, store.status, store.file_counts.completed) == ("docs", "completed", len(TOPICS))
    assert store.metadata == {"space": "cosine", "embedding_function": "minilm_retrieval"}
    async with openai.AsyncOpenAI(base_url=base_url, api_key="any") as asynchronous:
        assert [store.id async for store in asynchronous.vector_stores.list()] == ["vacant", "docs"]
        page = await asynchronous.vector_stores.search("docs", query=TOPICS[0], max_num_results=1)
    assert page.data[0].score == pytest.approx(1, abs=1e-6)
