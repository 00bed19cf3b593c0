from __future__ import annotations

import re

import pytest
from fake_engine import FakeEngine

from minilm_retrieval import MiniLMEmbedder, progress
from minilm_retrieval.progress import progress_bar


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait two seconds for the bar."""
    monkeypatch.setattr(progress, "_DELAY_SECONDS", 0)


def test_a_hidden_bar_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Embedding", 3, shown=False) as advance:
        advance(3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("total", [3, None])
def test_a_shown_bar_goes_to_standard_error(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, total: int | None
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # treat the captured stream as a terminal
    with progress_bar("Embedding", total, shown=True) as advance:
        advance(1)
        advance(2)
    output, errors = capfd.readouterr()
    assert output == ""
    assert "Embedding 3" in errors
    assert "texts/s" in errors
    assert ("left" in errors) == (total is not None)


def test_what_is_done_in_a_moment_shows_no_bar(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(progress, "_DELAY_SECONDS", 60)
    with progress_bar("Embedding", 3, shown=True) as advance:
        advance(3)
    assert capfd.readouterr() == ("", "")


def test_an_error_ends_the_bar(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    def fail() -> None:
        with progress_bar("Embedding", 3, shown=True) as advance:
            advance(1)
            raise KeyError("the work failed")

    with pytest.raises(KeyError, match="the work failed"):
        fail()
    assert capfd.readouterr().err.endswith("\x1b[2K")


def test_a_bar_that_nobody_watches_writes_no_text(capfd: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Embedding", 3, shown=True) as advance:
        advance(3)
    output, errors = capfd.readouterr()
    assert output == ""
    assert errors.strip() == ""


def test_encode_counts_every_text_and_changes_no_vector(
    fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 3)
    texts = ["a", "b", "a", "c", "d", "e", "a", "b"]
    embedder = MiniLMEmbedder()
    shown = embedder.encode(texts, show_progress=True)
    output, errors = capfd.readouterr()
    assert output == ""
    assert "8 of 8" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", errors)
    assert (shown == embedder.encode(texts)).all()
    assert capfd.readouterr() == ("", "")
