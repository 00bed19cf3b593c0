"""A cache that holds a part of somebody's model: the rest is downloaded, wherever the pooling's settings lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer
from small_models import SmallModel
from subprocesses import run_python

from minilm_retrieval.errors import ModelNotFoundError
from minilm_retrieval.file_stamps import pooling_files
from minilm_retrieval.model_files import find_model

READ = """
import sys
from minilm_retrieval import MiniLMEmbedder
embedder = MiniLMEmbedder("somebody/model")
print(embedder.model_origin(), embedder.fingerprint, sep="\\n")
"""


@pytest.fixture(params=["1_Pooling", "own folder"])
def model(request: pytest.FixtureRequest, small_model: SmallModel) -> SmallModel:
    small_model.write()
    if request.param != "1_Pooling":
        (small_model.directory / "1_Pooling").rename(small_model.directory / request.param)
        modules = json.loads((small_model.directory / "modules.json").read_text(encoding="utf-8"))
        kind = "sentence_transformers.sentence_transformer.modules.pooling.Pooling"
        modules[1] |= {"path": request.param, "type": kind}
        small_model.write_json("modules.json", modules)
    return small_model


@pytest.fixture
def hub(model: SmallModel) -> Iterator[HubServer]:
    files = sorted(str(file.relative_to(model.directory)) for file in model.directory.rglob("*") if file.is_file())
    with HubServer(model.directory, files, "somebody/model", "a" * 40) as server:
        yield server


def read(home: Path, hub: HubServer) -> tuple[str, str]:
    origin, fingerprint = run_python(READ, HF_HOME=str(home), HF_ENDPOINT=hub.endpoint).splitlines()[-2:]
    return origin, fingerprint


def test_a_missing_pooling_is_downloaded(hub: HubServer, model: SmallModel, tmp_path: Path) -> None:
    origin, fingerprint = read(tmp_path / "home", hub)
    directory = Path(origin.removeprefix("downloaded to "))
    (pooling,) = pooling_files(model.directory)
    (directory / pooling).unlink()
    assert read(tmp_path / "home", hub) == (origin, fingerprint)
    assert (directory / pooling).is_file()
    hub.requests.clear()
    assert read(tmp_path / "home", hub) == (f"Hugging Face cache ({directory})", fingerprint)
    assert hub.requests == []


def test_without_a_network_it_is_not_here(unused_cache: Path, model: SmallModel) -> None:
    snapshot = unused_cache / "models--somebody--model/snapshots/1234"
    snapshot.parent.mkdir(parents=True)
    model.directory.rename(snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("1234")
    assert find_model("somebody/model").directory == snapshot
    (pooling,) = pooling_files(snapshot)
    (snapshot / pooling).unlink()
    with pytest.raises(ModelNotFoundError, match="HF_HUB_OFFLINE is set"):
        find_model("somebody/model")


@pytest.mark.parametrize("content", ["", "{}", "[" * 200_000, "[3, null, {}]", '[{"type": 3, "path": []}]', "\xff"])
def test_what_lists_no_pooling_is_for_the_reader_to_refuse(tmp_path: Path, content: str) -> None:
    assert pooling_files(tmp_path) == []
    (tmp_path / "modules.json").write_bytes(content.encode("latin-1"))
    assert pooling_files(tmp_path) == []
