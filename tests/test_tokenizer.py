from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_texts import HOSTILE_TEXTS, topic_texts
from tokenizers import Tokenizer as RustTokenizer

from minilm_retrieval.errors import InvalidTextError, UnsupportedModelError
from minilm_retrieval.tokenizer import Tokenizer, check_texts, content_digest, well_formed
from minilm_retrieval.word_ids import WordIds

TEXTS = [*HOSTILE_TEXTS.values(), *topic_texts(100, 700)]


@pytest.fixture(scope="session")
def tokenizer(standard_directory: Path) -> Tokenizer:
    return Tokenizer(standard_directory / "tokenizer.json")


@pytest.mark.parametrize("length", [3, 128, 256, 512])
def test_ids_are_those_of_transformers(tokenizer: Tokenizer, standard_directory: Path, length: int) -> None:
    transformers = pytest.importorskip("transformers")
    other: Any = transformers.AutoTokenizer.from_pretrained(str(standard_directory))
    for text in TEXTS:
        tokens = tokenizer.tokenize(text, length)
        assert tokens.ids.tolist() == other(text, truncation=True, max_length=length)["input_ids"]
        whole = len(other(text, truncation=False)["input_ids"])
        assert tokens.untruncated_length == tokenizer.count(text) == whole
        assert tokens.truncated == (whole > length)


def test_the_files_own_truncation_and_padding_do_not_apply(tokenizer: Tokenizer, standard_directory: Path) -> None:
    settings = json.loads((standard_directory / "tokenizer.json").read_text(encoding="utf-8"))
    assert settings["truncation"]["max_length"] == 128, "the trap that this test is about"
    assert settings["padding"]["strategy"] == {"Fixed": 128}
    assert tokenizer.tokenize("word " * 1000, 512).ids.shape == (512,)
    assert tokenizer.tokenize("word", 512).ids.tolist() == [101, 2773, 102]


def test_the_cut_keeps_the_last_special_token(tokenizer: Tokenizer) -> None:
    whole = tokenizer.tokenize("a b c d e f g h", 512)
    assert whole.ids.dtype == np.int32
    for length in range(3, 12):
        cut = tokenizer.tokenize("a b c d e f g h", length)
        assert cut.untruncated_length == 10
        assert cut.truncated == (length < 10)
        kept = min(length, 10)
        assert cut.ids.tolist() == [*whole.ids[: kept - 1].tolist(), 102]


def test_lowercase_comes_first(standard_directory: Path, tmp_path: Path) -> None:
    settings = json.loads((standard_directory / "tokenizer.json").read_text(encoding="utf-8"))
    settings["normalizer"]["lowercase"] = False
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    lower, upper = Tokenizer(file).tokenize("hello", 9).ids, Tokenizer(file).tokenize("HELLO", 9).ids
    assert lower.tolist() != upper.tolist()
    assert Tokenizer(file, lowercase=True).tokenize("HELLO", 9).ids.tolist() == lower.tolist()
    settings["normalizer"] = None
    file.write_text(json.dumps(settings), encoding="utf-8")
    assert Tokenizer(file, lowercase=True).tokenize("HELLO", 9).ids.tolist() == lower.tolist()


def test_other_special_tokens_are_refused(standard_directory: Path, tmp_path: Path) -> None:
    settings = json.loads((standard_directory / "tokenizer.json").read_text(encoding="utf-8"))
    settings["post_processor"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(UnsupportedModelError, match="adds 0 special tokens"):
        Tokenizer(tmp_path / "tokenizer.json")


def test_both_special_tokens_before_the_text_are_refused(standard_directory: Path, tmp_path: Path) -> None:
    settings = json.loads((standard_directory / "tokenizer.json").read_text(encoding="utf-8"))
    order = settings["post_processor"]["single"]
    settings["post_processor"]["single"] = [order[0], order[2], order[1]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(UnsupportedModelError, match="expects one before and one after"):
        Tokenizer(tmp_path / "tokenizer.json")


def test_digest_is_of_the_meaning_not_of_the_form(tokenizer: Tokenizer, standard_directory: Path) -> None:
    content = (standard_directory / "tokenizer.json").read_text(encoding="utf-8")
    settings = json.loads(content)
    assert content_digest(content) == tokenizer.digest()
    settings["truncation"], settings["padding"] = None, {"strategy": "BatchLongest"}
    backwards = dict(reversed(settings.items()))
    assert content_digest(json.dumps(backwards, indent=1, ensure_ascii=False)) == tokenizer.digest()
    settings["normalizer"]["lowercase"] = False
    assert content_digest(json.dumps(settings)) != tokenizer.digest()


@given(st.text(st.characters()))
def test_well_formed_keeps_the_length_and_what_can_be_encoded(text: str) -> None:
    result = well_formed(text)
    assert len(result) == len(text)
    result.encode("utf-8")
    for before, after in zip(text, result, strict=True):
        assert after == ("\ufffd" if "\ud800" <= before <= "\udfff" else before)


@pytest.fixture(scope="session")
def plain(standard_directory: Path) -> Callable[[str], list[int]]:
    """The library's own ids of a whole text at once."""
    rust = RustTokenizer.from_file(str(standard_directory / "tokenizer.json"))
    rust.no_truncation()
    rust.no_padding()
    return lambda text: list(rust.encode(well_formed(text)).ids)


SPACES = " \n\t\r\x0b\x0c\x1c\x1f\x85\u00a0\u2003\u2028\u3000\u200b\ufeff\x00"
PARTS = st.sampled_from(
    [*SPACES, *"ab,.'\u0301é日ßİ\u03a3🙂\ufffd\ud800", "the", "embedding", "[SEP]", "[MASK]", "##ing"]
)


@given(text=st.lists(PARTS | st.characters(), max_size=200).map("".join), piece=st.integers(1, 30))
def test_words_and_pieces_have_the_tokens_of_the_whole(
    tokenizer: Tokenizer, plain: Callable[[str], list[int]], text: str, piece: int
) -> None:
    whole = plain(text)
    assert tokenizer.tokenize(text, 10_000).ids.tolist() == whole
    assert tokenizer.count(text) == len(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minilm_retrieval.word_ids._PIECE", piece)
        assert tokenizer.tokenize(text, 10_000).ids.tolist() == whole


def test_every_word_of_real_text_has_its_tokens(tokenizer: Tokenizer, plain: Callable[[str], list[int]]) -> None:
    for text in topic_texts(500, 4000):
        assert tokenizer.tokenize(text, 100_000).ids.tolist() == plain(text)


def test_few_words_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.word_ids._KNOWN_WORDS", 100)
    asked: list[str] = []

    def encode(word: str) -> bytes:
        asked.append(word)
        return word.encode("utf-32-le")

    ids = WordIds(encode)
    long = "x" * 33
    for _ in range(3):
        assert ids.encode(f"one two {long} one") == f"onetwo{long}one".encode("utf-32-le")
    assert asked == ["one", "two", long, long, long], "a long one is not kept"
    for number in range(1000):
        ids.encode(str(number))
    last = len(asked)
    assert ids.encode("998 999 one") == "998999one".encode("utf-32-le")
    assert asked[last:] == ["one"], "forgotten, since only a hundred are kept"


def test_tokens_that_hold_spaces_are_found(standard_directory: Path, tmp_path: Path) -> None:
    settings = json.loads((standard_directory / "tokenizer.json").read_text(encoding="utf-8"))
    settings["added_tokens"].append({**settings["added_tokens"][0], "id": 1, "content": "new york", "special": False})
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings), encoding="utf-8")
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    ids = tokenizer.tokenize("in new york now", 99).ids.tolist()
    assert ids == [101, 1999, tokenizer.vocabulary_size - 1, 2085, 102]


@given(texts=st.lists(st.text(st.characters(), max_size=40), max_size=5))
def test_any_text_has_ids(tokenizer: Tokenizer, texts: list[str]) -> None:
    for text in texts:
        tokens = tokenizer.tokenize(text, 16)
        assert 2 <= len(tokens.ids) <= 16
        assert (tokens.ids[0], tokens.ids[-1]) == (101, 102)
        assert tokens.untruncated_length == tokenizer.count(text) >= len(tokens.ids)


@pytest.mark.parametrize("wrong", [None, 3, 2.5, b"bytes", ["list"], object(), float("nan"), Path("x"), True])
@pytest.mark.parametrize("position", [0, 1, 4])
def test_the_wrong_item_is_named_by_position_and_type(wrong: object, position: int) -> None:
    texts: list[Any] = ["a", "b", "c", "d", "e"]
    texts[position] = wrong
    kind = type(wrong).__name__
    with pytest.raises(InvalidTextError, match=rf"^Expected text at position {position}, got {kind}: "):
        check_texts(texts)
    with pytest.raises(InvalidTextError, match=rf"^Expected text at position {position + 100}, got {kind}: "):
        check_texts(texts, offset=100)


@pytest.mark.parametrize("wrong", [None, 3, 2.5, True, object()])
def test_what_is_no_list_is_named_by_type(wrong: Any) -> None:
    with pytest.raises(InvalidTextError, match=f"list of texts, got {type(wrong).__name__}"):
        check_texts(wrong)


@pytest.mark.parametrize("wrong", ["one text", "", b"bytes", bytearray(b"bytes")])
def test_a_bare_string_is_not_a_list_of_letters(wrong: Any) -> None:
    with pytest.raises(InvalidTextError, match=f"{type(wrong).__name__}|int"):
        check_texts(wrong)


def test_a_long_wrong_item_is_shown_shortened() -> None:
    with pytest.raises(InvalidTextError) as caught:
        check_texts([["x" * 10_000]])  # type: ignore[list-item]
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("texts", [["a", "b"], ("a", "b"), np.array(["a", "b"]), {"a": 1, "b": 2}.keys(), iter("ab")])
def test_whatever_can_be_listed_is_a_list_of_texts(texts: Any) -> None:
    assert check_texts(texts) == ["a", "b"]


def test_an_error_inside_the_callers_generator_is_the_callers(recwarn: pytest.WarningsRecorder) -> None:
    def texts() -> Any:
        yield "a"
        raise TypeError("the caller's own mistake")

    with pytest.raises(TypeError, match="the caller's own mistake"):
        check_texts(texts())
