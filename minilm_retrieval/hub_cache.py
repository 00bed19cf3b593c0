"""Models in the local Hugging Face cache, and their download into it.

The hub's client is imported where it is needed: an installed model is found without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from minilm_retrieval.errors import ModelNotFoundError
from minilm_retrieval.readable import is_file

_OWNER_AND_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def is_hub_id(model: str) -> bool:
    """Tell whether this is an owner and a name that the hub's client takes."""
    if not _OWNER_AND_NAME.fullmatch(model):
        return False
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(model)
    except HFValidationError:
        return False
    return True


def cached_snapshot(model: str, revision: str, names: Iterable[str]) -> Path | None:
    """Return a snapshot directory of the local cache that holds all these files; never opens a socket.

    Args:
        model: A hub id.
        revision: A commit, or ``"main"``.
        names: Files of the model, relative to its directory, the first one at its top.
    """
    from huggingface_hub import try_to_load_from_cache

    first = try_to_load_from_cache(model, next(iter(names)), revision=revision)
    if not isinstance(first, str):
        return None
    directory = Path(first).parent
    return directory if has_all(directory, names) else None


def has_all(directory: Path, names: Iterable[str]) -> bool:
    """Tell whether all these files are in a directory; it raises as :func:`minilm_retrieval.readable.is_file`."""
    return all(is_file(directory / name) for name in names)


def remedy_for(model: str) -> str:
    """Return what mends a damaged file of the cache.

    The hub's client looks only whether a file is there: other programs get it anew when all of the model is gone.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=model, repo_type="model")
    return (
        "The next run of this library that reaches the Hugging Face hub, without HF_HUB_OFFLINE, downloads it again; "
        f"for other programs to do so, delete the folder {folder}."
    )


def download_snapshot(
    model: str,
    revision: str | None,
    steps: Sequence[list[str]],
    other_ways: Sequence[str] = (),
    force: bool = False,
) -> Path:
    """Download into the ordinary cache; the hub's client writes each file atomically and shows its progress.

    Args:
        model: A hub id.
        revision: A commit; ``None`` for the newest.
        steps: Patterns of file names, each list downloaded after the one before it.
        other_ways: How else one gets the model, for the error's message.
        force: Download what the cache has, too.

    Raises:
        ModelNotFoundError: Nothing may be downloaded, or it failed.
    """
    from huggingface_hub import constants, snapshot_download

    if constants.HF_HUB_OFFLINE:
        raise _not_found(model, "HF_HUB_OFFLINE is set, so nothing was downloaded", other_ways)
    try:
        for step in steps:
            path = snapshot_download(model, revision=revision, allow_patterns=step, force_download=force)
        return Path(path)
    except Exception as error:
        raise _not_found(model, f"the download failed: {type(error).__name__}: {error}", other_ways) from error


def _not_found(model: str, reason: str, other_ways: Sequence[str]) -> ModelNotFoundError:
    from huggingface_hub import constants

    ways = [
        *other_ways,
        f"allow a download from the Hugging Face hub once (or set HF_ENDPOINT to a mirror); "
        f"the files are kept in {constants.HF_HUB_CACHE}",
        "pass a directory that holds the files: MiniLMEmbedder(model='/path/to/model')",
    ]
    listed = "\n".join(f"  {number}. {way}" for number, way in enumerate(ways, 1))
    return ModelNotFoundError(f"The model {model} is not on this machine, and {reason}. Ways to get it:\n{listed}")
