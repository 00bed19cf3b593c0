"""OpenAI's embeddings API, and the list of models."""

from __future__ import annotations

import base64
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr
from starlette.responses import Response

from minilm_retrieval.server.failures import RequestError
from minilm_retrieval.server.http import json_response, note, parsed, while_connected
from minilm_retrieval.server.inputs import Ids, Sequences, Texts, as_sequences, as_texts
from minilm_retrieval.server.responses import openai_errors, request_body, state
from minilm_retrieval.server.service import Embedded, EmbeddingService
from minilm_retrieval.server.threads import in_thread
from minilm_retrieval.server.token_input import decoded

router = APIRouter(tags=["OpenAI"])
_NAME = "all-MiniLM-L6-v2"


class EmbeddingRequest(BaseModel):
    """What is to be embedded; fields that are not listed are ignored."""

    model_config = ConfigDict(extra="ignore", title="EmbeddingRequest")

    input: StrictStr | Texts | Ids | Sequences = Field(
        description="One text, several, the token ids of one in cl100k_base, or those of several."
    )
    model: StrictStr | None = Field(default=None, description="Any name; it is given back.")
    encoding_format: Literal["float", "base64"] | None = Field(
        default=None, description="Base64 is that of the float32 numbers, little-endian."
    )
    dimensions: StrictInt | None = Field(default=None, description="Numbers in a vector: the model's, or absent.")


class Embedding(BaseModel):
    """One vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Tokens that the model read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """The vectors of a request, in its order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


@router.post(
    "/v1/embeddings",
    response_model=EmbeddingList,
    responses=openai_errors(),
    openapi_extra=request_body(EmbeddingRequest),
)
@router.post("/embeddings", include_in_schema=False)
@router.post("/v1/engines/{engine}/embeddings", include_in_schema=False)
async def create_embeddings(request: Request) -> Response:
    """Embed texts; those over the model's length are cut, which the headers ``x-truncated-*`` say."""
    service = state(request).service
    service.check_room()
    wanted = await parsed(request, state(request).options, EmbeddingRequest)
    if wanted.dimensions not in (None, service.embedder.dimension):
        raise RequestError(
            400,
            f"dimensions must be {service.embedder.dimension} or absent, got {wanted.dimensions}: vectors of this "
            "model cannot be shortened.",
            param="dimensions",
        )
    embedded = await while_connected(request, state(request).options, _embedded(service, wanted.input))
    note(request, texts=len(embedded.vectors), tokens=embedded.tokens, truncated=len(embedded.truncated))
    rows = (
        embedded.vectors
        if wanted.encoding_format != "base64"
        else [base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii") for vector in embedded.vectors]
    )
    usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
    return json_response(
        {"object": "list", "data": data, "model": wanted.model or _NAME, "usage": usage}, embedded.headers()
    )


async def _embedded(service: EmbeddingService, input: Any) -> Embedded:
    if input == []:
        raise RequestError(400, "input is an empty list; expected at least one text.", param="input")
    if (texts := as_texts(input)) is not None:
        return await service.embed(texts)
    sequences = as_sequences(input)
    service.check_number(len(sequences))
    return await service.embed(await in_thread(decoded, sequences))


class Model(BaseModel):
    """A model that vectors can be asked of."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    """The models of this server: one."""

    object: Literal["list"]
    data: list[Model]


def _model(request: Request) -> dict[str, Any]:
    name = state(request).service.embedder.model_name
    return {
        "id": str(name or _NAME),
        "object": "model",
        "created": state(request).started,
        "owned_by": "sentence-transformers",
    }


@router.get("/v1/models", response_model=ModelList, responses=openai_errors())
async def list_models(request: Request) -> Response:
    """List the server's one model."""
    return json_response({"object": "list", "data": [_model(request)]})


@router.get("/v1/models/{id:path}", response_model=Model, responses=openai_errors(404))
async def retrieve_model(request: Request, id: str) -> Response:
    """Describe the server's model; only its own name is known here, whatever names embeddings may be asked for by."""
    model = _model(request)
    if id not in (model["id"], f"sentence-transformers/{model['id']}"):
        raise RequestError(
            404, f"There is no model {id!r} here, but {model['id']!r}.", param="model", code="model_not_found"
        )
    return json_response(model)


@router.get("/v1/", include_in_schema=False)
@router.get("/v1", include_in_schema=False)
async def status() -> Response:
    """Say that the server is there."""
    return json_response({"status": True})
