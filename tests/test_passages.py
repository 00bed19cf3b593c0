from __future__ import annotations

from pydoc_data.topics import topics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilm_retrieval import Document, MiniLMEmbedder
from minilm_retrieval.errors import DocumentError, InvalidOptionError
from minilm_retrieval.ingest import PassageSplitter


@pytest.fixture(scope="module")
def splitter(embedder: MiniLMEmbedder) -> PassageSplitter:
    return PassageSplitter(embedder)


def check(splitter: PassageSplitter, embedder: MiniLMEmbedder, text: str) -> None:
    passages = list(splitter.split(Document("d", text)))
    end = 0
    for passage in passages:
        start = int(passage.metadata["start"])
        assert start >= end
        assert not text[end:start].strip(), "text between passages is lost"
        end = int(passage.metadata["end"])
        assert text[start:end] == passage.text
        assert embedder.count_tokens(passage.text)[0] <= splitter.max_tokens
    assert not text[end:].strip(), "text after the last passage is lost"


@pytest.mark.parametrize("tokens", [256, 40, 8])
def test_real_documents_are_covered_by_passages_that_fit(embedder: MiniLMEmbedder, tokens: int) -> None:
    splitter = PassageSplitter(embedder, tokens)
    for name in sorted(topics)[:12]:
        check(splitter, embedder, topics[name])


@given(text=st.text(alphabet=st.characters(blacklist_categories=("Cs",)), max_size=300))
def test_any_text_is_covered(splitter: PassageSplitter, embedder: MiniLMEmbedder, text: str) -> None:
    check(splitter, embedder, text)


@pytest.mark.parametrize("text", ["word " * 20_000, "x" * 100_000, "é🙂漢 " * 3000, "a\r\nb\r\n" * 2000])
def test_long_and_odd_texts(splitter: PassageSplitter, embedder: MiniLMEmbedder, text: str) -> None:
    check(splitter, embedder, text)


def test_lone_surrogates_keep_their_places(splitter: PassageSplitter) -> None:
    (passage,) = splitter.split(Document("d", "a\ud800b"))
    assert (passage.text, passage.metadata["start"], passage.metadata["end"]) == ("a\ufffdb", 0, 3)


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_nothing_to_say_gives_no_passage(splitter: PassageSplitter, text: str) -> None:
    assert list(splitter.split(Document("d", text))) == []


def test_id_depends_on_source_place_text_and_metadata(splitter: PassageSplitter) -> None:
    def ids(*arguments: Any) -> list[str]:
        return [passage.id for passage in splitter.split(Document(*arguments))]

    base = ids("d", "hello", {"a": 1})
    assert base == ids("d", "hello", {"a": 1, "b": None})
    for other in (
        ("e", "hello", {"a": 1}),
        ("d", "hallo", {"a": 1}),
        ("d", "hello", {"a": 2}),
        ("d", " hello", {"a": 1}),
    ):
        assert ids(*other) != base


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (Document("d", "x", "meta"), "metadata must be a mapping, got str"),  # type: ignore[arg-type]
        (Document("d", "x", {}, "html"), "format must be one of text, markdown, got 'html'"),  # type: ignore[arg-type]
        (Document("", "x"), "id must be a text"),
        (Document(7, "x"), "id must be a text"),  # type: ignore[arg-type]
        (Document("d", None), "text must be a str, got NoneType"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_stored_is_refused(splitter: PassageSplitter, document: Document, reason: str) -> None:
    with pytest.raises(DocumentError, match=reason):
        splitter.split(document)


@pytest.mark.parametrize("tokens", [7, 257, 0, "100", True])
def test_passage_length_out_of_range(embedder: MiniLMEmbedder, tokens: Any) -> None:
    with pytest.raises(InvalidOptionError, match="8 to 256 tokens"):
        PassageSplitter(embedder, tokens)
