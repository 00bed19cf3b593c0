"""The protocol of text-embeddings-inference (TEI): embed, similarity, info."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr
from starlette.responses import Response

from minilm_retrieval import __version__
from minilm_retrieval.model_files import STANDARD_MODEL
from minilm_retrieval.server.failures import EMPTY, RequestError
from minilm_retrieval.server.http import json_response, note, parsed, while_connected
from minilm_retrieval.server.inputs import Ids, Sequences, Texts, as_sequences, as_texts
from minilm_retrieval.server.responses import request_body, state, tei_errors
from minilm_retrieval.server.service import Embedded, EmbeddingService
from minilm_retrieval.similarity import cosine_similarity

Direction = Literal["right", "left", "Right", "Left"]
router = APIRouter(tags=["text-embeddings-inference"])


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore")

    truncate: StrictBool | None = Field(default=None, description="Cut over-long texts; absent: as the server does.")
    truncation_direction: Direction = Field(default="right", description="Which end is cut.")
    prompt_name: StrictStr | None = Field(default=None, description="The model has no prompts: null.")

    def on_truncate(self) -> str | None:
        """Return what happens to over-long texts."""
        return None if self.truncate is None else "warn" if self.truncate else "error"

    def keep_end(self) -> bool:
        """Return whether the beginning is cut."""
        return self.truncation_direction.lower() == "left"


def check_prompt(name: str | None) -> None:
    """Refuse a prompt.

    Raises:
        RequestError: There is one.
    """
    if name is not None:
        raise RequestError(422, "prompt_name must be null: this model has no prompts.", param="prompt_name")


class EmbedRequest(_Request):
    """What is to be embedded; fields that are not listed are ignored."""

    inputs: StrictStr | Texts | Ids | Sequences = Field(
        description="One text, several, the model's own token ids of one, special tokens included, or those of several."
    )
    normalize: StrictBool = Field(default=True, description="Give vectors unit length.")
    dimensions: StrictInt | None = Field(default=None, description="Numbers in a vector: the model's, or absent.")


class Sentences(BaseModel):
    """One text, and those it is compared with."""

    source_sentence: StrictStr
    sentences: Texts


class SimilarityParameters(_Request):
    """How the texts are embedded."""


class SimilarityRequest(BaseModel):
    """What is to be compared."""

    inputs: Sentences
    parameters: SimilarityParameters | None = None


class Info(BaseModel):
    """What the server is."""

    model_id: str
    model_sha: str | None
    model_dtype: str
    model_type: dict[str, Any]
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str


@router.post(
    "/embed", response_model=list[list[float]], responses=tei_errors(), openapi_extra=request_body(EmbedRequest)
)
@router.post("/", include_in_schema=False)
async def embed(request: Request) -> Response:
    """Embed texts; always an array a text, also for a single one."""
    shared = state(request)
    shared.service.check_room()
    wanted = await parsed(request, shared.options, EmbedRequest)
    check_prompt(wanted.prompt_name)
    if wanted.dimensions not in (None, shared.service.embedder.dimension):
        raise RequestError(
            422, f"dimensions must be {shared.service.embedder.dimension} or absent, got {wanted.dimensions}."
        )
    service = shared.service if wanted.normalize else shared.unnormalized
    embedded = await while_connected(request, shared.options, _embedded(service, wanted))
    note(request, texts=len(embedded.vectors), tokens=embedded.tokens, truncated=len(embedded.truncated))
    return json_response(list(embedded.vectors), embedded.headers())


async def _embedded(service: EmbeddingService, wanted: EmbedRequest) -> Embedded:
    if wanted.inputs == []:
        raise RequestError(400, "`inputs` cannot be empty.", code=EMPTY)
    if (texts := as_texts(wanted.inputs)) is not None:
        return await service.embed(texts, wanted.on_truncate(), wanted.keep_end())
    return await service.embed_ids(as_sequences(wanted.inputs), wanted.on_truncate(), wanted.keep_end())


@router.post(
    "/similarity", response_model=list[float], responses=tei_errors(), openapi_extra=request_body(SimilarityRequest)
)
async def similarity(request: Request) -> Response:
    """Give the cosine similarity of one text with each of several."""
    shared = state(request)
    shared.service.check_room()
    wanted = await parsed(request, shared.options, SimilarityRequest)
    parameters = wanted.parameters or SimilarityParameters()
    check_prompt(parameters.prompt_name)
    if not wanted.inputs.sentences:
        raise RequestError(400, "`inputs.sentences` cannot be empty.", code=EMPTY)
    texts = [wanted.inputs.source_sentence, *wanted.inputs.sentences]
    work = shared.service.embed(texts, parameters.on_truncate(), parameters.keep_end())
    embedded = await while_connected(request, shared.options, work)
    note(request, texts=len(texts), tokens=embedded.tokens, truncated=len(embedded.truncated))
    return json_response(cosine_similarity(embedded.vectors[0], embedded.vectors[1:]), embedded.headers())


@router.get("/info", response_model=Info, responses=tei_errors())
async def info(request: Request) -> Response:
    """Say what is served, and its limits."""
    shared = state(request)
    embedder, options = shared.service.embedder, shared.options
    await shared.service.start()
    facts = {
        "model_id": str(embedder.model_name or STANDARD_MODEL),
        "model_sha": embedder.fingerprint,
        "model_dtype": embedder.precision,
        "model_type": {"embedding": {"pooling": "mean"}},
        "max_concurrent_requests": options.max_queue,
        "max_input_length": embedder.max_seq_length,
        "max_batch_tokens": options.max_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": options.max_texts,
        "auto_truncate": options.on_truncate != "error",
        "tokenization_workers": 1,
        "version": __version__,
    }
    return json_response(facts)
