"""A model whose files or folders cannot be read is refused with the reason, not with the system's own error."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from commands import called
from published_files import make_cache
from small_models import SmallModel

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import ModelNotFoundError, ModelUnreadableError
from minilm_retrieval.model import load_model
from minilm_retrieval.model_files import is_standard_name
from minilm_retrieval.readable import check_visible, is_directory, is_file

needs_permissions = pytest.mark.skipif(
    os.name == "nt" or (hasattr(os, "geteuid") and os.geteuid() == 0), reason="permissions do not bind this user"
)
TOO_LONG = "n" * 300


def loop(path: Path) -> Path:
    """Make a symbolic link that leads to itself."""
    path.symlink_to(path.name)
    return path


def test_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert is_file(file)
    assert not is_directory(file)
    assert is_directory(tmp_path)
    assert not is_file(tmp_path)
    for absent in (tmp_path / "none", file / "below", tmp_path / TOO_LONG, tmp_path / "nu\0ll"):
        check_visible(absent)
        assert not is_file(absent)
        assert not is_directory(absent)


def test_what_cannot_be_told(tmp_path: Path) -> None:
    link = loop(tmp_path / "link")
    assert not is_directory(link)
    with pytest.raises(OSError, match="link"):
        is_file(link)
    with pytest.raises(OSError, match="link"):
        check_visible(link)


@pytest.mark.parametrize("name", [TOO_LONG, f"{TOO_LONG}/name", f"/{TOO_LONG}/name", "nu\0ll"])
def test_a_name_that_no_file_can_have(unused_cache: Path, name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="neither a directory nor a hub id"):
        MiniLMEmbedder(name).encode("text")


def test_a_directory_that_leads_nowhere(tmp_path: Path) -> None:
    link = loop(tmp_path / "link")
    with pytest.raises(ModelUnreadableError, match="link cannot be read: "):
        MiniLMEmbedder(link).encode("text")


def test_what_looks_like_a_hub_id_but_lies_here(
    unused_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    loop(tmp_path / "models/mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelUnreadableError, match="mine cannot be read: "):
        load_model("models/mine")
    with pytest.raises(ModelNotFoundError, match="The model models/other is not on this machine"):
        load_model("models/other")


def test_weights_that_lead_nowhere(small_model: SmallModel) -> None:
    directory = small_model.write()
    (directory / "model.safetensors").unlink()
    loop(directory / "model.safetensors")
    with pytest.raises(ModelUnreadableError, match=r"model\.safetensors cannot be read: "):
        load_model(directory)


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "config.json", "1_Pooling/config.json", "modules.json", "tokenizer_config.json"]
)
def test_a_directory_in_the_place_of_a_file(small_model: SmallModel, name: str) -> None:
    directory = small_model.write()
    (directory / name).unlink()
    (directory / name).mkdir()
    with pytest.raises(ModelUnreadableError) as caught:
        load_model(directory)
    assert str(caught.value).startswith(f"{directory / name} cannot be read: ")


@pytest.mark.usefixtures("no_model_package")
def test_in_the_cache(unused_cache: Path, standard_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Other tests have loaded the model from elsewhere.
    monkeypatch.setattr("minilm_retrieval.model._models", {})
    file = make_cache(standard_directory, unused_cache) / "tokenizer.json"
    file.unlink()
    loop(file)
    with pytest.raises(ModelUnreadableError, match=r"tokenizer\.json cannot be read: "):
        load_model()


def test_doctor_says_why(tmp_path: Path) -> None:
    link = loop(tmp_path / "link")
    result = called("doctor", "--json", "--model", str(link))
    assert result.exit_code == 1
    assert f"{link} cannot be read: " in json.loads(result.stdout)["model"]["error"]


@needs_permissions
def test_a_folder_that_may_not_be_entered(small_model: SmallModel, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = small_model.write()
    for closed in (directory, directory.parent):
        closed.chmod(0)
        try:
            with pytest.raises(ModelUnreadableError, match=r"cannot be read: .*Give this user the right") as caught:
                MiniLMEmbedder(directory).encode("text")
            assert str(directory) in str(caught.value)
        finally:
            closed.chmod(0o700)


@needs_permissions
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_file_that_may_not_be_read(small_model: SmallModel, name: str) -> None:
    directory = small_model.write()
    (directory / name).chmod(0)
    with pytest.raises(ModelUnreadableError, match=f"{name} cannot be read: .*Give this user the right"):
        load_model(directory)


@needs_permissions
def test_the_models_name_in_a_folder_that_may_not_be_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o600)
    try:
        assert is_standard_name("all-MiniLM-L6-v2")
    finally:
        tmp_path.chmod(0o700)
