"""No text is cut unseen: one warning or one error a call, with positions and lengths."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine

import minilm_retrieval
from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import InvalidOptionError, TextTooLongError, TruncationWarning
from minilm_retrieval.truncation import TruncationLog

pytestmark = pytest.mark.usefixtures("fake_engine")

FITTING = "word " * 254  # with the special tokens exactly 256
LONG = "word " * 255
LONGER = "word " * 998


def caught(call: Callable[[], Any]) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        call()
    return messages


def test_the_limit_itself_is_not_too_long() -> None:
    embedder = MiniLMEmbedder()
    assert embedder.count_tokens([FITTING, LONG, LONGER]) == [256, 257, 1000]
    assert caught(lambda: embedder.encode([FITTING, "short"])) == []
    assert len(caught(lambda: embedder.encode(LONG))) == 1


def test_one_warning_a_call_names_count_positions_and_lengths() -> None:
    (message,) = caught(lambda: MiniLMEmbedder().encode(["a", LONG, "b", LONGER]))
    assert message.category is TruncationWarning
    assert str(message.message) == (
        "2 texts are longer than the model's 256 tokens, at position 1 (257 tokens), 3 (1000 tokens). "
        "Only their beginnings were embedded. Split them first, or pass on_truncate='ignore' or 'error'."
    )


def test_one_text_is_one_text() -> None:
    (message,) = caught(lambda: MiniLMEmbedder(max_seq_length=10).encode("word " * 20))
    assert str(message.message).startswith("1 text is longer than the model's 10 tokens, at position 0 (22 tokens).")


def test_many_are_counted_and_few_are_named() -> None:
    texts = [LONG + str(number) for number in range(40)]
    (message,) = caught(lambda: MiniLMEmbedder().encode(texts))
    assert str(message.message).startswith("40 texts are longer")
    assert "0 (258 tokens), 1 (258 tokens), 2 (258 tokens), 3 (258 tokens), 4 (258 tokens) and 35 more." in str(
        message.message
    )


def test_equal_texts_are_named_at_all_their_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [LONG, "a", LONGER, LONG, "a", LONG]
    for chunk in (4096, 2, 1):
        monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", chunk)
        (message,) = caught(lambda: MiniLMEmbedder().encode(texts))
        named = "0 (257 tokens), 2 (1000 tokens), 3 (257 tokens), 5 (257 tokens)."
        assert str(message.message).startswith(f"4 texts are longer than the model's 256 tokens, at position {named}")


def test_the_warning_points_at_the_caller() -> None:
    embedder = MiniLMEmbedder()
    calls: list[Callable[[], Any]] = [
        lambda: embedder.encode(LONG),
        lambda: embedder.encode([LONG]),
        lambda: list(embedder.encode_stream([LONG])),
    ]
    for call in calls:
        (message,) = caught(call)
        assert message.filename == __file__


async def test_the_warning_of_an_awaited_call_points_at_the_caller() -> None:
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        await MiniLMEmbedder().aencode([LONG])
    (message,) = messages
    assert message.filename == __file__


def test_a_callers_folder_whose_name_begins_like_the_packages_is_not_the_package() -> None:
    package = Path(minilm_retrieval.__file__).parent
    caller = str(package.with_name(f"{package.name}_of_somebody") / "main.py")
    code = compile("embedder.encode(text)", caller, "exec")
    (message,) = caught(lambda: exec(code, {"embedder": MiniLMEmbedder(), "text": LONG}))
    assert message.filename == caller


def test_a_stream_warns_once_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 2)
    texts = ["a", LONG, "b", "c", LONGER, LONG, "d"]
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        stream = MiniLMEmbedder().encode_stream(iter(texts))
        for _ in range(4):
            next(stream)
            assert messages == []
        assert next(stream, None) is None
    (message,) = messages
    named = "1 (257 tokens), 4 (1000 tokens), 5 (257 tokens)."
    assert str(message.message).startswith(f"3 texts are longer than the model's 256 tokens, at position {named}")
    assert message.filename == __file__


def test_each_call_warns_for_itself() -> None:
    embedder = MiniLMEmbedder()
    assert len(caught(lambda: [embedder.encode([LONG]), embedder.encode(["short"]), embedder.encode([LONG])])) == 2


def test_ignore_says_nothing() -> None:
    embedder = MiniLMEmbedder(on_truncate="ignore")
    assert caught(lambda: [embedder.encode([LONG]), embedder.encode(LONGER), *embedder.encode_stream([LONG])]) == []


def test_a_quiet_twin_says_nothing_and_the_embedder_still_does() -> None:
    embedder = MiniLMEmbedder(max_seq_length=8)
    twin = embedder.quietly()
    assert caught(lambda: twin.encode([LONG])) == []
    assert len(caught(lambda: embedder.encode([LONG]))) == 1
    assert (twin.max_seq_length, twin.on_truncate, embedder.on_truncate) == (8, "ignore", "warn")


def test_error_names_count_positions_and_lengths_and_computes_nothing(fake_engine: FakeEngine) -> None:
    embedder = MiniLMEmbedder(on_truncate="error")
    with pytest.raises(TextTooLongError) as error:
        embedder.encode(["a", LONG, "b", LONG, LONGER])
    assert str(error.value) == (
        "3 texts are longer than the model's 256 tokens, at position 1 (257 tokens), 3 (257 tokens), 4 (1000 tokens). "
        "Shorten or split them, or pass on_truncate='warn' or 'ignore'."
    )
    assert fake_engine.rows == 0
    assert embedder.encode([FITTING]).shape == (1, 384)


def test_error_in_a_stream_counts_positions_from_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 2)
    with pytest.raises(TextTooLongError, match=r"at position 5 \(257 tokens\)\."):
        list(MiniLMEmbedder(on_truncate="error").encode_stream(["a", "b", "c", "d", "e", LONG, "g"]))


def test_a_warning_made_an_error_is_raised_and_the_embedder_goes_on() -> None:
    embedder = MiniLMEmbedder()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TruncationWarning):
            embedder.encode([LONG])
    assert embedder.encode(["short"]).shape == (1, 384)


@pytest.mark.parametrize("policy", ["Warn", "", "raise", None, 1])
def test_an_unknown_policy_is_refused_with_what_is_offered(policy: Any) -> None:
    with pytest.raises(InvalidOptionError, match="expected one of warn, ignore, error"):
        MiniLMEmbedder(on_truncate=policy)


def test_a_log_forgets_nothing_and_new_logs_are_empty() -> None:
    log = TruncationLog.checked("error")
    log.check(256)
    log.add([4, 2], 300)
    with pytest.raises(TextTooLongError, match=r"2 \(300 tokens\), 4 \(300 tokens\)"):
        log.check(256)
    log.new().check(256)
    assert log.new().policy == "error"


def test_a_log_of_any_number_of_texts_is_small() -> None:
    for policy in ("warn", "ignore", "error"):
        log = TruncationLog(policy)
        for position in range(10_000, 0, -1):
            log.add([position], 300)
        assert len(pickle.dumps(log)) < 1000
    with pytest.raises(TextTooLongError, match=r"10000 texts .* position 1 \(300 tokens\), 2 .* and 9995 more"):
        log.check(256)
