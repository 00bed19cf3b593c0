"""What all three integrations have in common: the core's options, the core's vectors, the core's errors."""

from __future__ import annotations

import asyncio
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_texts import HOSTILE_TEXTS, topic_texts
from subprocesses import run_python

from chroma_minilm import MiniLMEmbeddingFunction
from langchain_minilm import MiniLMEmbeddings
from llama_index_minilm import MiniLMEmbedding
from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.embedder import DEFAULTS
from minilm_retrieval.errors import InvalidOptionError, InvalidTextError, TextTooLongError, TruncationWarning

TEXTS = [*HOSTILE_TEXTS.values(), *topic_texts(24, 400)]
LONG = "word " * 400

OPTIONS: list[dict[str, Any]] = [
    {},
    {"max_seq_length": 64},
    {"normalize": False},
    {"threads": 1},
    {"backend": "torch", "device": "cpu"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options) or "defaults")
def test_vectors_are_the_cores_bit_for_bit(standard_directory: Path, options: dict[str, Any]) -> None:
    options = {**options, "on_truncate": "ignore"}
    if options.get("backend") == "torch":
        pytest.importorskip("sentence_transformers")
    core = MiniLMEmbedder(**options)
    expected, one = core.encode(TEXTS).tolist(), core.encode("one query").tolist()

    chroma = MiniLMEmbeddingFunction(**options)
    assert [vector.tolist() for vector in chroma(TEXTS)] == expected
    assert [vector.tolist() for vector in chroma.embed_query(["one query"])] == [one]

    langchain = MiniLMEmbeddings(**options)
    assert langchain.embed_documents(TEXTS) == expected
    assert asyncio.run(langchain.aembed_documents(TEXTS)) == expected
    assert langchain.embed_query("one query") == asyncio.run(langchain.aembed_query("one query")) == one

    llama = MiniLMEmbedding(**options)
    assert llama.get_text_embedding_batch(TEXTS) == expected
    assert asyncio.run(llama.aget_text_embedding_batch(TEXTS)) == expected
    assert llama.get_query_embedding("one query") == llama.get_text_embedding("one query") == one
    assert asyncio.run(llama.aget_query_embedding("one query")) == one
    assert asyncio.run(llama.aget_text_embedding("one query")) == one


@pytest.mark.parametrize("wrapper", [MiniLMEmbeddings, MiniLMEmbedding])
def test_options_and_defaults_are_the_cores(wrapper: Any) -> None:
    fields = wrapper.model_fields
    for name, default in DEFAULTS.items():
        if name != "model":
            assert fields[name].default == default, name
    assert wrapper().model_name == "sentence-transformers/all-MiniLM-L6-v2"
    assert wrapper().embedder.is_standard


@pytest.mark.parametrize("wrapper", [MiniLMEmbeddings, MiniLMEmbedding])
def test_wrong_options_are_refused(wrapper: Any) -> None:
    with pytest.raises(InvalidOptionError, match="precision='float64' is not offered"):
        wrapper(precision="float64")
    with pytest.raises(ValueError, match="batch_size"):
        wrapper(batch_size=8)
    with pytest.raises(ValueError, match="frozen"):
        wrapper().max_seq_length = 128


@pytest.mark.parametrize("wrapper", [MiniLMEmbeddings, MiniLMEmbedding])
def test_a_directory_is_a_model(wrapper: Any, standard_directory: Path) -> None:
    assert wrapper(model_name=standard_directory).model_name == str(standard_directory)
    assert wrapper(model_name=None).embedder.is_standard


@pytest.mark.parametrize("wrapper", [MiniLMEmbeddings, MiniLMEmbedding])
def test_a_pickled_copy_gives_the_same_vectors(wrapper: Any) -> None:
    original = wrapper(max_seq_length=32, on_truncate="ignore")
    expected = original.embedder.encode(["one text", "another"])
    copy = pickle.loads(pickle.dumps(original))
    assert (copy.embedder.encode(["one text", "another"]) == expected).all()
    assert copy.max_seq_length == copy.embedder.max_seq_length == 32
    assert len(pickle.dumps(original)) < 20_000, "the weights are not part of it"


def test_splitters_count_with_the_models_tokenizer(embedder: MiniLMEmbedder) -> None:
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    from llama_index.core.node_parser import SentenceSplitter

    text = "\n\n".join(topic_texts(60, 300))
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=256, chunk_overlap=0, length_function=MiniLMEmbeddings().count_tokens
    )
    parser = SentenceSplitter(chunk_size=256, chunk_overlap=0, tokenizer=MiniLMEmbedding().tokenize)
    for pieces in (splitter.split_text(text), parser.split_text(text)):
        assert len(pieces) > 10
        assert max(embedder.count_tokens(pieces)) <= 256
    assert len(MiniLMEmbedding().tokenize(LONG)) == embedder.count_tokens(LONG)[0]


def test_a_text_that_is_none_is_refused_with_its_type() -> None:
    for call in (MiniLMEmbeddings().embed_query, MiniLMEmbedding().get_query_embedding):
        with pytest.raises(InvalidTextError, match="Expected one text, got list"):
            call(["a text"])
    for many in (MiniLMEmbeddings().embed_documents, MiniLMEmbedding().get_text_embedding_batch):
        with pytest.raises(InvalidTextError, match="Expected text at position 1, got int"):
            many(["a text", 5])
    with pytest.raises(InvalidTextError, match="Expected a list of texts, got one str"):
        MiniLMEmbeddings().embed_documents("a text")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"a text": 1}, np.array([["a", "b"]])])
def test_a_mapping_and_a_table_are_refused_by_all(wrong: Any) -> None:
    llama = MiniLMEmbedding()
    for call in (
        MiniLMEmbeddingFunction(),
        MiniLMEmbeddings().embed_documents,
        lambda texts: asyncio.run(MiniLMEmbeddings().aembed_documents(texts)),
        llama.get_text_embedding_batch,
        lambda texts: asyncio.run(llama.aget_text_embedding_batch(texts)),
    ):
        with pytest.raises(InvalidTextError, match=f"Expected a text or a list of texts, got {type(wrong).__name__}"):
            call(wrong)


def test_truncation_is_visible_and_points_at_the_caller() -> None:
    def langchain() -> None:
        MiniLMEmbeddings().embed_documents([LONG, "short", LONG])

    async def langchain_async() -> None:
        await MiniLMEmbeddings().aembed_documents([LONG, "short", LONG])

    for call in (langchain, lambda: asyncio.run(langchain_async())):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        assert [(warning.category, warning.filename) for warning in caught] == [(TruncationWarning, __file__)]
        assert "2 texts are longer than the model's 256 tokens, at position 0 (402 tokens), 2 (402 tokens)" in str(
            caught[0].message
        )
    for wrapper in (MiniLMEmbeddings, MiniLMEmbedding):
        with pytest.raises(TextTooLongError):
            (wrapper(on_truncate="error")).embedder.encode(LONG)


@pytest.mark.parametrize(
    ("package", "foreign"),
    [
        ("langchain_minilm", ("llama_index", "chromadb", "torch", "sentence_transformers")),
        ("llama_index_minilm", ("langchain", "langchain_core", "chromadb", "torch", "sentence_transformers")),
    ],
)
def test_a_package_needs_its_own_framework_only(package: str, foreign: tuple[str, ...]) -> None:
    wrapper = {"langchain_minilm": "MiniLMEmbeddings", "llama_index_minilm": "MiniLMEmbedding"}[package]
    output = run_python(
        f"""
        import sys
        sys.modules.update(dict.fromkeys({foreign!r}))
        import {package}
        print({package}.{wrapper}().embedder.encode("a text").shape)
        """
    )
    assert output.strip() == "(384,)"


async def test_the_event_loop_runs_while_many_texts_are_embedded() -> None:
    texts = [f"{text} {number}" for number in range(20) for text in topic_texts(20, 30)]
    for call in (
        MiniLMEmbeddings(on_truncate="ignore").aembed_documents,
        MiniLMEmbedding(on_truncate="ignore").aget_text_embedding_batch,
    ):
        ticks = 0
        task = asyncio.ensure_future(call(texts))
        while not task.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert len(await task) == len(texts)
        assert ticks >= 3


@pytest.mark.parametrize("wrapper", [MiniLMEmbeddings, MiniLMEmbedding])
def test_a_changed_copy_embeds_with_the_changed_options(wrapper: Any) -> None:
    original = wrapper(on_truncate="ignore")
    copy = original.model_copy(update={"max_seq_length": 8})
    assert (copy.max_seq_length, copy.embedder.max_seq_length) == (8, 8)
    assert copy.on_truncate == copy.embedder.on_truncate == "ignore"
    assert original.embedder.max_seq_length == 256
    with pytest.raises(ValueError, match="batch_size"):
        original.model_copy(update={"batch_size": 8})


@pytest.mark.parametrize("wrapper", [MiniLMEmbeddings, MiniLMEmbedding])
def test_a_relative_directory_means_the_same_after_chdir(
    wrapper: Any, standard_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").symlink_to(standard_directory)
    monkeypatch.chdir(tmp_path)
    original = wrapper(model_name="model")
    monkeypatch.chdir("/")
    copy = pickle.loads(pickle.dumps(original))
    assert copy.embedder.encode("a text").shape == (384,)
    assert wrapper(**original.model_dump()).model_name == original.model_name
    with pytest.raises(ValueError, match="model must be a hub id or a directory, got 5"):
        wrapper(model_name=5)
