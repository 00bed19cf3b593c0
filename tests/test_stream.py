"""``encode_stream``: any number of texts in bounded memory, in order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fake_engine import FakeEngine
from small_models import SmallModel
from subprocesses import run_python

from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import InvalidTextError


class Endless:
    """Texts without end, counting how many were taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        for number in itertools.count():
            self.taken += 1
            yield f"text {number}"


def test_an_endless_iterable_is_read_one_chunk_ahead(fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 10)
    source = Endless()
    stream = MiniLMEmbedder().encode_stream(source)
    assert source.taken == 0, "nothing is read before the first chunk is asked for"
    for number in range(50):
        texts, vectors = next(stream)
        assert texts == [f"text {10 * number + row}" for row in range(10)]
        assert vectors.shape == (10, 384)
        assert source.taken <= 10 * (number + 2)
    stream.close()  # type: ignore[attr-defined]


def test_an_endless_iterable_with_the_real_engine(small_model: SmallModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 400)
    embedder = MiniLMEmbedder(small_model.write(), threads=1)
    source = Endless()
    for number, (texts, vectors) in enumerate(itertools.islice(embedder.encode_stream(source), 8)):
        assert texts[0] == f"text {400 * number}"
        assert vectors.shape == (400, 32)
        assert source.taken <= 400 * (number + 4)
    assert np.abs(vectors[7] - embedder.encode(texts[7])).max() <= 1e-5


def test_long_texts_make_smaller_chunks(fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_CHARACTERS", 1000)
    texts = [f"{number:03} {'x' * 296}" for number in range(10)]
    chunks = [part for part, _ in MiniLMEmbedder(on_truncate="ignore").encode_stream(texts)]
    assert [len(part) for part in chunks] == [4, 4, 2]
    assert [text for part in chunks for text in part] == texts


def test_the_first_chunk_is_small_so_that_the_engine_starts_at_once(fake_engine: FakeEngine) -> None:
    texts = [f"{number:05} {'word ' * 12}" for number in range(6000)]
    taken = []

    def watched() -> Iterator[str]:
        for text in texts:
            taken.append(text)
            yield text

    sizes = []
    for part, _ in MiniLMEmbedder().encode_stream(watched()):
        if not sizes:
            assert len(taken) < 200
        sizes.append(sum(map(len, part)))
    assert sizes[:6] == sorted(sizes[:6])
    assert sizes[0] < 4200
    assert sizes[5] > 130_000


def test_no_texts_no_chunks(fake_engine: FakeEngine) -> None:
    assert list(MiniLMEmbedder().encode_stream([])) == []
    assert list(MiniLMEmbedder().encode_stream(iter(()))) == []


@pytest.mark.parametrize("wrong", ["one text", b"bytes"])
def test_a_bare_string_is_not_a_stream_of_letters(fake_engine: FakeEngine, wrong: Any) -> None:
    with pytest.raises(InvalidTextError, match=f"Expected an iterable of texts, got (one )?{type(wrong).__name__}"):
        list(MiniLMEmbedder().encode_stream(wrong))


def test_what_came_before_a_wrong_item_is_still_given(fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 2)
    stream = MiniLMEmbedder().encode_stream(["a", "b", "c", "d", None])  # type: ignore[list-item]
    assert next(stream)[0] == ["a", "b"]
    with pytest.raises(InvalidTextError, match="position 4"):
        list(stream)


def test_an_error_in_the_callers_iterable_is_the_callers(fake_engine: FakeEngine) -> None:
    def failing() -> Iterator[str]:
        yield "a"
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        list(MiniLMEmbedder().encode_stream(failing()))


def test_two_streams_side_by_side(small_model: SmallModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minilm_retrieval.pipeline._CHUNK_TEXTS", 50)
    embedder = MiniLMEmbedder(small_model.write(), threads=2)
    texts = [[f"{name} {number} " * 9 for number in range(400)] for name in ("left", "right")]
    pairs = zip(embedder.encode_stream(texts[0]), embedder.encode_stream(texts[1]), strict=True)
    for number, ((left, left_vectors), (right, right_vectors)) in enumerate(pairs):
        assert left == texts[0][50 * number : 50 * number + 50]
        both = embedder.encode(left + right)
        assert np.abs(both - np.concatenate([left_vectors, right_vectors])).max() <= 1e-5


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_iterable_may_embed_itself(small_model: SmallModel, threads: str) -> None:
    """The engine must not be held while the caller's own iterable runs, or waits for another thread that embeds."""
    output = run_python(
        """
        import sys
        from concurrent.futures import ThreadPoolExecutor
        import minilm_retrieval.pipeline
        minilm_retrieval.pipeline._CHUNK_TEXTS = 40
        from minilm_retrieval import MiniLMEmbedder

        embedder = MiniLMEmbedder(sys.argv[2], threads=int(sys.argv[1]))
        pool = ThreadPoolExecutor(1)

        def source(in_another_thread):
            for chunk in range(4):
                few = [f"few {chunk} {number} " + "word " * 40 for number in range(40)]
                if in_another_thread:
                    pool.submit(embedder.encode, few).result()
                    pool.submit(embedder.encode, few[0]).result()
                else:
                    embedder.encode(few)
                    embedder.encode(few[0])
                yield from (f"text {chunk} {number} " + "word " * 40 for number in range(40))

        for in_another_thread in (False, True):
            print("in another thread:", in_another_thread, file=sys.stderr)
            print(sum(len(vectors) for _, vectors in embedder.encode_stream(source(in_another_thread))))
        """,
        threads,
        str(small_model.write()),
        timeout=30,
    )
    assert output.split() == ["160", "160"]
