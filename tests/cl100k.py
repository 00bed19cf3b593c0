"""The file of OpenAI's encoding cl100k_base, without a network."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def cl100k_cache() -> Path:
    """Return the folder that TIKTOKEN_CACHE_DIR may point at; llama-index-core brings it."""
    spec = find_spec("llama_index")
    assert spec is not None
    folders = [Path(folder, "core/_static/tiktoken_cache") for folder in spec.submodule_search_locations or ()]
    return next(folder for folder in folders if folder.is_dir())
