"""A directory that is written again while a process has its model loaded."""

from __future__ import annotations

import gc
import os
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from published_files import link_files, replace, tampered
from safetensors import safe_open
from safetensors.numpy import load_file
from small_models import SmallModel

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import EngineError, ModelIntegrityError, UnsupportedModelError
from minilm_retrieval.model import Model, load_model
from minilm_retrieval.model_files import find_model

WEIGHTS = "model.safetensors"


def other_weights(model: SmallModel) -> None:
    weights = load_file(model.directory / WEIGHTS)
    model.save_weights({name: array[::-1].copy() for name, array in weights.items()})


def weights_of_the_same_time_and_size(model: SmallModel) -> None:
    """As by a program that keeps times when it copies."""
    file = model.directory / WEIGHTS
    before, old = file.stat(), file.rename(file.with_name("old"))
    shutil.copyfile(old, file)
    other_weights(model)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_mtime_ns, file.stat().st_size) == (before.st_mtime_ns, before.st_size)


CHANGES: dict[str, Callable[[SmallModel], None]] = {
    "weights": other_weights,
    "weights of the same time": weights_of_the_same_time_and_size,
    "tokenizer": lambda model: model.update_json("tokenizer.json", decoder=None),
    "config": lambda model: model.update_json("config.json", hidden_act="relu"),
    "modules": lambda model: model.modules("Transformer", "Pooling"),
    "pooling": lambda model: model.pooling(pooling_mode_cls_token=True),
    "length": lambda model: model.write_json("sentence_bert_config.json", {"max_seq_length": 16}),
    "no length": lambda model: (model.directory / "sentence_bert_config.json").unlink(),
    "tokenizer settings": lambda model: model.update_json("tokenizer_config.json", model_max_length=60),
    "prompts": lambda model: model.write_json("config_sentence_transformers.json", {"prompts": {}}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_read(small_model: SmallModel, change: str) -> None:
    directory = small_model.write()
    before = load_model(directory)
    assert load_model(directory) is before
    CHANGES[change](small_model)
    after = load_model(directory)
    assert after is not before
    assert after.files.stamp != before.files.stamp
    assert load_model(directory) is after


def test_a_pooling_in_another_folder_is_watched_too(small_model: SmallModel) -> None:
    directory = small_model.write()
    (directory / "1_Pooling").rename(directory / "pooling")
    modules = [{"path": "", "type": "Transformer"}, {"path": "pooling", "type": "Pooling"}]
    for module in modules:
        module["type"] = f"sentence_transformers.models.{module['type']}"
    small_model.write_json("modules.json", modules)
    assert load_model(directory).config.pooling == "mean"
    small_model.write_json("pooling/config.json", {"pooling_mode": "cls"})
    assert load_model(directory).config.pooling == "cls"


def test_a_new_embedder_has_the_new_vectors(small_model: SmallModel) -> None:
    directory = small_model.write(seed=1)
    with MiniLMEmbedder(directory) as embedder:
        old, fingerprint = embedder.encode("a text"), embedder.fingerprint
    other = SmallModel(directory.with_name("other"), small_model._standard)
    shutil.copyfile(other.write(seed=2) / WEIGHTS, directory / WEIGHTS)
    embedder = MiniLMEmbedder(directory)
    assert embedder.fingerprint == MiniLMEmbedder(other.directory).fingerprint != fingerprint
    vectors = embedder.encode("a text")
    assert np.array_equal(vectors, MiniLMEmbedder(other.directory).encode("a text"))
    assert np.abs(vectors - old).max() > 0.01


def test_an_embedder_keeps_its_model_and_a_new_one_has_the_new(small_model: SmallModel) -> None:
    directory = small_model.write()
    old = MiniLMEmbedder(directory)
    vectors, fingerprint = old.encode(["a text", "another"]), old.fingerprint
    other_weights(small_model)
    new = MiniLMEmbedder(directory)
    assert new.fingerprint != fingerprint
    assert np.abs(new.encode(["a text", "another"]) - vectors).max() > 0.01
    assert np.array_equal(old.encode(["a text", "another"]), vectors)
    assert old.fingerprint == old.quietly().fingerprint == fingerprint


def test_an_engine_of_former_files_is_freed_with_its_last_user(small_model: SmallModel) -> None:
    directory = small_model.write()
    old = MiniLMEmbedder(directory)
    engine = weakref.ref(old.pipeline().engine)
    other_weights(small_model)
    new = MiniLMEmbedder(directory)
    new.encode("a text")
    assert engine() is not None
    del old
    other_weights(small_model)
    MiniLMEmbedder(directory).encode("a text")
    gc.collect()
    assert engine() is None


def test_a_model_that_was_refused_is_read_when_mended(small_model: SmallModel) -> None:
    directory = small_model.write()
    before = load_model(directory)
    small_model.update_json("config.json", hidden_act="silu")
    for _ in range(2):
        with pytest.raises(UnsupportedModelError, match="silu"):
            load_model(directory)
    small_model.update_json("config.json", hidden_act="gelu")
    assert load_model(directory).config == before.config


def test_a_removed_directory_leaves_the_loaded_model(small_model: SmallModel) -> None:
    directory = small_model.write()
    embedder = MiniLMEmbedder(directory)
    vectors, model = embedder.encode("a text"), load_model(directory)
    shutil.rmtree(directory)
    assert load_model(directory) is model
    assert np.array_equal(embedder.encode("a text"), vectors)
    with pytest.raises(ModelIntegrityError, match=r"model\.safetensors was changed or removed"):
        model.weights()


@pytest.mark.parametrize("change", ["weights", "weights of the same time"])
def test_weights_are_those_that_were_verified(small_model: SmallModel, change: str) -> None:
    model = load_model(small_model.write())
    CHANGES[change](small_model)
    with pytest.raises(ModelIntegrityError, match=r"model\.safetensors was changed or removed since it was verified"):
        model.weights()
    with pytest.raises(ModelIntegrityError, match="Make a new MiniLMEmbedder"):
        model.fingerprint(64, normalize=True)


def test_weights_that_change_while_they_are_read_are_refused(
    small_model: SmallModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(small_model.write())

    def open_and_change(*arguments: Any, **options: Any) -> Any:
        opened = safe_open(*arguments, **options)
        (small_model.directory / WEIGHTS).touch()
        return opened

    monkeypatch.setattr("minilm_retrieval.weights.safe_open", open_and_change)
    with pytest.raises(ModelIntegrityError, match="was changed or removed"):
        model.weights()


def test_published_weights_exchanged_after_they_were_verified(standard_directory: Path, tmp_path: Path) -> None:
    copy = link_files(standard_directory, tmp_path / "copy")
    model = Model(find_model(copy))
    replace(copy / WEIGHTS, tampered)
    with pytest.raises(ModelIntegrityError, match="was changed or removed"):
        model.weights()


def test_torch_reads_the_weights_that_were_verified(small_model: SmallModel) -> None:
    pytest.importorskip("sentence_transformers")
    from minilm_retrieval.engines.torch import TorchEngine

    model = load_model(small_model.write())
    other_weights(small_model)
    with pytest.raises(ModelIntegrityError, match="was changed or removed") as caught:
        TorchEngine(model, "cpu", "float32", None, True)
    assert not isinstance(caught.value, EngineError)
