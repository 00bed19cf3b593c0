"""The protocol of text-embeddings-inference (TEI), where it shows tokens: tokenize, decode."""

from __future__ import annotations

from functools import partial

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StrictBool, StrictStr
from starlette.responses import Response

from minilm_retrieval.server.failures import EMPTY, RequestError
from minilm_retrieval.server.http import json_response, parsed, while_connected
from minilm_retrieval.server.inputs import Ids, Sequences, Texts, as_sequences
from minilm_retrieval.server.responses import request_body, state, tei_errors
from minilm_retrieval.server.service import EmbeddingService
from minilm_retrieval.server.tei import check_prompt
from minilm_retrieval.tokenizer import Tokenizer

# TEI has the same limit. The tokenizer keeps the interpreter locked for as long as a text takes: some 70 ms for the
# longest.
_CHARACTERS_A_TOKEN = 250
router = APIRouter(tags=["text-embeddings-inference"])


class TokenizeRequest(BaseModel):
    """What is to be split into tokens."""

    inputs: StrictStr | Texts = Field(description="One text or several.")
    add_special_tokens: StrictBool = True
    prompt_name: StrictStr | None = Field(default=None, description="The model has no prompts: null.")


class DecodeRequest(BaseModel):
    """What is to be put together again."""

    ids: Ids | Sequences = Field(description="Token ids of one text or several.")
    skip_special_tokens: StrictBool = True


class Token(BaseModel):
    """A token of a text; start and stop count its UTF-8 bytes, and a special token has none."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


@router.post(
    "/tokenize", response_model=list[list[Token]], responses=tei_errors(), openapi_extra=request_body(TokenizeRequest)
)
async def tokenize(request: Request) -> Response:
    """Split texts into the model's tokens; nothing is cut."""
    shared = state(request)
    wanted = await parsed(request, shared.options, TokenizeRequest)
    check_prompt(wanted.prompt_name)
    texts = [wanted.inputs] if isinstance(wanted.inputs, str) else wanted.inputs
    if not texts:
        raise RequestError(400, "`inputs` cannot be empty.", code=EMPTY)
    work = _tokenized(shared.service, texts, wanted.add_special_tokens)
    return json_response(await while_connected(request, shared.options, work))


async def _tokenized(service: EmbeddingService, texts: list[str], special_tokens: bool) -> list[orjson.Fragment]:
    await _check(service, [len(text) for text in texts], "characters")
    found: list[orjson.Fragment] = []
    tokens = 0
    for text in texts:
        work = partial(_tokens, service.embedder.tokenizer, text, special_tokens)
        # One text a time, so that other requests' texts come between, and no further ones are taken for a client that
        # has gone.
        written, number = await service.while_tokenizing(work)
        tokens += number
        service.check_tokens(tokens)
        found.append(orjson.Fragment(written))
    return found


def _tokens(tokenizer: Tokenizer, text: str, special_tokens: bool) -> tuple[bytes, int]:
    """Return a text's tokens as JSON, a tenth of the size of the objects, and how many they are."""
    tokens = []
    for piece in tokenizer.pieces(text, special_tokens):
        start, stop = piece.place or (None, None)
        special = piece.place is None
        tokens.append({"id": piece.id, "text": piece.text, "special": special, "start": start, "stop": stop})
    return orjson.dumps(tokens), len(tokens)


@router.post("/decode", response_model=list[str], responses=tei_errors(), openapi_extra=request_body(DecodeRequest))
async def decode(request: Request) -> Response:
    """Put token ids together to text, as far as the tokens keep it; ids that are no token's are left out."""
    shared = state(request)
    wanted = await parsed(request, shared.options, DecodeRequest)
    if not wanted.ids:
        raise RequestError(400, "`ids` cannot be empty.", code=EMPTY)
    work = _decoded(shared.service, as_sequences(wanted.ids), wanted.skip_special_tokens)
    return json_response(await while_connected(request, shared.options, work))


async def _decoded(service: EmbeddingService, sequences: list[list[int]], skip_special_tokens: bool) -> list[str]:
    await _check(service, [len(ids) for ids in sequences], "ids")
    service.check_tokens(sum(map(len, sequences)))
    decode = service.embedder.tokenizer.decode
    return [await service.while_tokenizing(partial(decode, ids, skip_special_tokens)) for ids in sequences]


async def _check(service: EmbeddingService, lengths: list[int], unit: str) -> None:
    """Refuse more, or longer, inputs than are taken; the model is loaded after this."""
    service.check_number(len(lengths))
    await service.start()
    longest = _CHARACTERS_A_TOKEN * service.embedder.max_seq_length
    for position, length in enumerate(lengths):
        if length > longest:
            raise RequestError(
                422, f"The input at position {position} has {length} {unit}; at most {longest} are taken."
            )
