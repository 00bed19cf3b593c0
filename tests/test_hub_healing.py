"""Somebody's model that is damaged in the Hugging Face cache is downloaded again, or the folder to delete is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer
from published_files import replace, truncated
from small_models import SmallModel
from subprocesses import run_python

READ = """
import json
from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import ModelIntegrityError
embedder = MiniLMEmbedder("me/own")
try:
    print(json.dumps({"fingerprint": embedder.fingerprint, "origin": embedder.model_origin()}))
except ModelIntegrityError as error:
    print(json.dumps({"error": str(error)}))
"""


@pytest.fixture
def hub(small_model: SmallModel) -> Iterator[HubServer]:
    directory = small_model.write()
    names = sorted(str(file.relative_to(directory)) for file in directory.rglob("*") if file.is_file())
    with HubServer(directory, names, "me/own", "a" * 40) as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def read(cache: Path, hub: HubServer, **environment: str) -> dict[str, str]:
    """Read the model in a new process."""
    environment |= {"HF_HUB_CACHE": str(cache), "HF_ENDPOINT": hub.endpoint}
    result: dict[str, str] = json.loads(run_python(READ, **environment).splitlines()[-1])
    return result


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_damaged_file_heals(hub: HubServer, cache: Path, name: str) -> None:
    first = read(cache, hub)
    directory = Path(first["origin"].removeprefix("downloaded to "))
    replace((directory / name).resolve(), truncated)
    assert read(cache, hub) == first
    hub.requests.clear()
    assert read(cache, hub) == first | {"origin": f"Hugging Face cache ({directory})"}
    assert hub.requests == []


def test_a_damaged_file_heals_after_its_link_alone_was_deleted(hub: HubServer, cache: Path) -> None:
    first = read(cache, hub)
    file = Path(first["origin"].removeprefix("downloaded to ")) / "model.safetensors"
    replace(file.resolve(), truncated)
    file.unlink()
    assert read(cache, hub) == first


def test_without_a_network_the_folder_to_delete_is_named(hub: HubServer, cache: Path) -> None:
    first = read(cache, hub)
    replace((Path(first["origin"].removeprefix("downloaded to ")) / "model.safetensors").resolve(), truncated)
    error = read(cache, hub, HF_HUB_OFFLINE="1")["error"]
    folder = cache / "models--me--own"
    assert "model.safetensors is not a complete safetensors file" in error
    assert error.endswith(f"delete the folder {folder}.")
    shutil.rmtree(folder)
    assert read(cache, hub) == first


def test_a_hub_that_serves_what_is_damaged(hub: HubServer, cache: Path) -> None:
    hub.changes["config.json"] = truncated
    error = read(cache, hub)["error"]
    assert "config.json cannot be read as JSON" in error
    assert "check what the hub serves" in error
