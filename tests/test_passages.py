from __future__ import annotations

from pydoc_data.topics import topics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilm_retrieval import Document, MiniLMEmbedder
from minilm_retrieval.errors import DocumentError, InvalidOptionError
from minilm_retrieval.ingest import PassageSplitter
from minilm_retrieval.ingest.windows import split_in_windows


@pytest.fixture(scope="module")
def splitter(embedder: MiniLMEmbedder) -> PassageSplitter:
    return PassageSplitter(embedder)


def check(splitter: PassageSplitter, embedder: MiniLMEmbedder, text: str, format: Any = "text") -> None:
    passages = list(splitter.split(Document("d", text, format=format)))
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


LINE = " ".join(" ".join(text.split()) for text in topics.values())
LONG = {
    "sentences": LINE[:60_000],
    "words": "".join(sign for sign in LINE if sign.isalpha() or sign == " ")[:60_000],
    "one word": "x" * 60_000,
    "Chinese": "\u6df1\u5ea6\u5b66\u4e60" * 7000,
    "joined signs": "\U0001f469\u200d\U0001f469\u200d\U0001f467 e\u0301 " * 5000,
    "white space": "a" + " " * 60_000 + "b",
    "between paragraphs": f"One.\n\nTwo. Three.\n{LINE[:30_000]}\r\nFour.\n\n{LINE[30_000:60_000]}\n\nFive.",
}


class Recorder:
    """Splits after every hundred characters, and notes what it was given."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def chunk_indices(self, text: str) -> list[tuple[int, str]]:
        self.given.append(text)
        return [(place, text[place : place + 100]) for place in range(0, len(text), 100)]


@pytest.mark.parametrize("overlap", [0, 64])
@pytest.mark.parametrize("name", LONG)
def test_long_lines_are_split_as_the_splitter_splits_them(embedder: MiniLMEmbedder, name: str, overlap: int) -> None:
    whole = PassageSplitter(embedder, overlap=overlap)._splitters["text"]
    assert split_in_windows(whole, LONG[name]) == whole.chunk_indices(LONG[name])


@pytest.mark.parametrize("format", ["text", "markdown"])
@pytest.mark.parametrize("name", LONG)
def test_long_lines_are_covered(splitter: PassageSplitter, embedder: MiniLMEmbedder, name: str, format: Any) -> None:
    check(splitter, embedder, LONG[name], format)


def test_work_grows_with_the_length_of_a_line_and_not_with_its_square() -> None:
    recorder = Recorder()
    assert "".join(passage for _, passage in split_in_windows(recorder, LINE[:400_000])) == LINE[:400_000]
    assert max(map(len, recorder.given)) <= 8000
    assert sum(map(len, recorder.given)) < 410_000


@pytest.mark.parametrize("text", ["\n\n".join(topics.values()), f"{LINE[:20_000]}\r{LINE[:20_000]}\n" * 5])
def test_other_texts_go_to_the_splitter_as_they_are(text: str) -> None:
    recorder = Recorder()
    split_in_windows(recorder, text)
    assert recorder.given == [text]


def test_a_version_split_in_windows_is_told_from_an_earlier_one(
    splitter: PassageSplitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, short = Document("d", LONG["sentences"]), Document("d", topics["for"])
    now = [splitter.check(document).version for document in (long, short)]
    monkeypatch.setattr("minilm_retrieval.ingest.passages.has_long_line", lambda text: False)
    before = [splitter.check(document).version for document in (long, short)]
    assert now[0] != before[0]
    assert now[1] == before[1]
