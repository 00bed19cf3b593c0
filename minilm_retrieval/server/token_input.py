"""Token ids in place of text: OpenAI's clients may send those of ``cl100k_base``, which are turned back into text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING

from minilm_retrieval.server.failures import RequestError

# Fetching it anew may take a minute to fail.
_AGAIN_SECONDS = 60.0
_failed: tuple[float, Exception] = (float("-inf"), OSError())

if TYPE_CHECKING:
    from tiktoken import Encoding

_ENCODING = "cl100k_base"
_CACHE_VARIABLES = ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR")
# Where llama-index-core carries the encoding's file.
_BUNDLED = Path("_static", "tiktoken_cache")


def decoded(sequences: Sequence[Sequence[int]]) -> list[str]:
    """Return the texts of token sequences.

    Raises:
        RequestError: An id is none of the encoding's, or the encoding cannot be had here.
    """
    encoding = _encoding()
    texts = []
    for position, ids in enumerate(sequences):
        try:
            texts.append(encoding.decode(list(ids)))
        except (KeyError, OverflowError, ValueError) as error:
            raise RequestError(
                400,
                f"The token ids at position {position} are not all of {_ENCODING}, the encoding in which this server "
                "reads them. Send text instead.",
                param="input",
                code="invalid_token",
            ) from error
    return texts


def _encoding() -> Encoding:
    global _failed
    try:
        if time.monotonic() - _failed[0] < _AGAIN_SECONDS:
            raise _failed[1]
        return _loaded()
    except Exception as error:
        if error is not _failed[1]:
            _failed = (time.monotonic(), error)
        raise RequestError(
            400,
            f"Token ids cannot be read here, since the file of the encoding {_ENCODING} is not on this machine and "
            f"could not be fetched ({type(error).__name__}). Send text instead: with LangChain's OpenAIEmbeddings, "
            "check_embedding_ctx_length=False. Or point TIKTOKEN_CACHE_DIR at a folder that has the file, and start "
            "the server again.",
            param="input",
            code="tokens_unavailable",
        ) from error


@lru_cache(maxsize=1)
def _loaded() -> Encoding:
    import tiktoken

    bundled = _bundled_cache()
    if bundled is not None and not any(environ.get(name) for name in _CACHE_VARIABLES):
        environ[_CACHE_VARIABLES[0]] = str(bundled)
        try:
            return tiktoken.get_encoding(_ENCODING)
        finally:
            del environ[_CACHE_VARIABLES[0]]
    return tiktoken.get_encoding(_ENCODING)


def _bundled_cache() -> Path | None:
    """Return the folder that llama-index-core brings, if it is installed; its code is not run."""
    try:
        spec = find_spec("llama_index")
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        cache = Path(folder, "core", _BUNDLED)
        if cache.is_dir():
            return cache
    return None
