"""OpenAI's vector stores: a stored Chroma collection is one, and is searched without reranking."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from starlette.responses import Response

from minilm_retrieval.errors import CollectionNotFoundError
from minilm_retrieval.server.failures import RequestError
from minilm_retrieval.server.filters import AttributeFilter
from minilm_retrieval.server.http import json_response, note, parsed, while_connected
from minilm_retrieval.server.responses import openai_errors, request_body, state
from minilm_retrieval.server.stores import VectorStores
from minilm_retrieval.server.threads import in_thread
from minilm_retrieval.store.hits import Hit

_MOST_QUERIES = 16
_SOURCES = ("filename", "file_name", "source", "file_path")
router = APIRouter(tags=["OpenAI"])


class RankingOptions(BaseModel):
    """How results are ranked: by cosine similarity, whatever ranker is named, since nothing is reranked."""

    model_config = ConfigDict(extra="ignore")

    ranker: StrictStr | None = None
    score_threshold: Annotated[StrictFloat | StrictInt, Field(ge=-1, le=1)] | None = Field(
        default=None, description="Leave out results of a lower cosine similarity."
    )


class SearchRequest(BaseModel):
    """What to look for; fields that are not listed are ignored."""

    model_config = ConfigDict(extra="ignore", title="VectorStoreSearchRequest")

    # That an empty list is refused is told below in words of its own.
    query: (
        StrictStr | Annotated[list[StrictStr], Field(max_length=_MOST_QUERIES, json_schema_extra={"minItems": 1})]
    ) = Field(description=f"One text, or a list of 1 to {_MOST_QUERIES} texts.")
    filters: AttributeFilter | None = Field(
        default=None,
        description="A comparison, {type, key, value} with the type eq, ne, gt, gte, lt, lte, in or nin; or several, "
        "{type, filters} with the type and or or.",
    )
    max_num_results: Annotated[StrictInt, Field(ge=1, le=50)] = 10
    ranking_options: RankingOptions | None = None


class Content(BaseModel):
    """The text of a result."""

    type: Literal["text"]
    text: str


class Result(BaseModel):
    """A stored record."""

    file_id: str = Field(description="The record's id.")
    filename: str = Field(description="The record's source, as far as its metadata name one.")
    score: float = Field(description="Cosine similarity.")
    attributes: dict[str, StrictStr | StrictBool | float] | None
    content: list[Content]


class ResultPage(BaseModel):
    """Results, best first."""

    object: Literal["vector_store.search_results.page"]
    search_query: list[str]
    data: list[Result]
    has_more: bool
    next_page: str | None


class FileCounts(BaseModel):
    """Records, by how far they are."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class VectorStore(BaseModel):
    """A stored collection."""

    id: str
    object: Literal["vector_store"]
    created_at: int = Field(description="Not recorded by Chroma: 0.")
    name: str
    usage_bytes: int = Field(description="Not known: 0.")
    file_counts: FileCounts
    status: Literal["completed"]
    metadata: dict[str, str]


class VectorStoreList(BaseModel):
    """Stored collections, by name."""

    object: Literal["list"]
    data: list[VectorStore]
    first_id: str | None
    last_id: str | None
    has_more: bool


@router.get("/v1/vector_stores", response_model=VectorStoreList, responses=openai_errors(404))
async def list_vector_stores(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
    before: str | None = None,
) -> Response:
    """List the collections, by name: ``asc`` from A to Z."""
    stores = _stores(request)
    names = await while_connected(request, state(request).options, in_thread(stores.names))
    if order == "desc":
        names.reverse()
    if after is not None:
        names = names[_place(names, after, "after") + 1 :]
    if before is not None:
        names = names[: _place(names, before, "before")]
    shown = names[:limit]

    def described() -> list[dict[str, Any]]:
        found = []
        for name in shown:
            # One that was deleted just now is no more.
            with suppress(CollectionNotFoundError):
                found.append(_vector_store(name, stores.describe(name)))
        return found

    data = await while_connected(request, state(request).options, in_thread(described))
    ends = {"first_id": shown[0] if shown else None, "last_id": shown[-1] if shown else None}
    return json_response({"object": "list", "data": data, **ends, "has_more": len(names) > len(shown)})


@router.get("/v1/vector_stores/{vector_store_id}", response_model=VectorStore, responses=openai_errors(404))
async def retrieve_vector_store(request: Request, vector_store_id: str) -> Response:
    """Describe a collection."""
    facts = await while_connected(
        request, state(request).options, in_thread(_stores(request).describe, vector_store_id)
    )
    return json_response(_vector_store(vector_store_id, facts))


@router.post(
    "/v1/vector_stores/{vector_store_id}/search",
    response_model=ResultPage,
    responses=openai_errors(404),
    openapi_extra=request_body(SearchRequest),
)
async def search_vector_store(request: Request, vector_store_id: str) -> Response:
    """Find the records nearest to one query or several, each once and with its best score."""
    shared = state(request)
    stores = _stores(request)
    shared.service.check_room()
    wanted = await parsed(request, shared.options, SearchRequest)
    if wanted.query == []:
        raise RequestError(400, "query is an empty list; expected at least one text.", param="query")
    queries = [wanted.query] if isinstance(wanted.query, str) else wanted.query
    where = wanted.filters.where() if wanted.filters else None
    threshold = wanted.ranking_options.score_threshold if wanted.ranking_options else None

    async def found() -> tuple[list[list[Hit]], dict[str, str]]:
        embedded = await shared.service.embed(queries)
        hits = await in_thread(
            stores.search, vector_store_id, embedded.vectors, wanted.max_num_results, where, threshold
        )
        return hits, embedded.headers()

    hits, headers = await while_connected(request, shared.options, found())
    note(request, texts=len(queries))
    data = [_result(hit) for hit in _merged(hits)[: wanted.max_num_results]]
    page = {"object": "vector_store.search_results.page", "search_query": queries, "data": data}
    return json_response({**page, "has_more": False, "next_page": None}, headers)


def _stores(request: Request) -> VectorStores:
    stores = state(request).stores
    if stores is None:
        raise RequestError(
            404,
            "This server was started without collections. Start it with --path, or with --chroma-host.",
            code="no_vector_stores",
        )
    return stores


def _place(names: Sequence[str], name: str, param: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise RequestError(404, f"There is no vector store {name!r} here.", param=param) from None


def _merged(hits: list[list[Hit]]) -> list[Hit]:
    best: dict[str, Hit] = {}
    for hit in (hit for found in hits for hit in found):
        if hit.id not in best or hit.score > best[hit.id].score:
            best[hit.id] = hit
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.id))


def _result(hit: Hit) -> dict[str, Any]:
    attributes = {
        key: value if isinstance(value, str | bool | int | float) else json.dumps(value, ensure_ascii=False)
        for key, value in hit.metadata.items()
    }
    source = next((hit.metadata[key] for key in _SOURCES if isinstance(hit.metadata.get(key), str)), hit.id)
    content = [{"type": "text", "text": hit.document}] if hit.document is not None else []
    return {"file_id": hit.id, "filename": source, "score": hit.score, "attributes": attributes, "content": content}


def _vector_store(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    counts = {"in_progress": 0, "completed": facts["count"], "failed": 0, "cancelled": 0, "total": facts["count"]}
    return {
        "id": name,
        "object": "vector_store",
        "created_at": 0,
        "name": name,
        "usage_bytes": 0,
        "file_counts": counts,
        "status": "completed",
        "metadata": {"space": facts["space"], "embedding_function": facts["function"] or "none"},
    }
