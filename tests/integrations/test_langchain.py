"""The LangChain classes in LangChain's own machinery: stores, caches, indexing, chains."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain_chroma import Chroma
from langchain_classic.embeddings import CacheBackedEmbeddings
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.load import dumpd
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnablePassthrough
from langchain_core.stores import InMemoryByteStore
from langchain_core.tracers import BaseTracer
from langchain_core.vectorstores import InMemoryVectorStore
from stores import TOPICS, fill, local_client, random_vectors

from langchain_minilm import MiniLMEmbeddings, MiniLMRetriever
from minilm_retrieval import MiniLMEmbedder, open_collection
from minilm_retrieval.errors import CollectionMismatchError, InvalidFilterError, InvalidOptionError, TruncationWarning
from minilm_retrieval.similarity import cosine_similarity
from minilm_retrieval.store import check_collection

QUERY = "a pet that likes to sleep"


@pytest.fixture
def collection(tmp_path: Path, embedder: MiniLMEmbedder) -> Any:
    metadatas = [{"number": number, "even": number % 2 == 0} for number in range(len(TOPICS))]
    return fill(local_client(tmp_path), "docs", embedder.encode(TOPICS), documents=TOPICS, metadatas=metadatas)


def test_langchain_chroma(tmp_path: Path) -> None:
    client = local_client(tmp_path)
    store = Chroma(collection_name="docs", client=client, embedding_function=MiniLMEmbeddings())
    store.add_texts(TOPICS, ids=[str(number) for number in range(len(TOPICS))])
    assert store.similarity_search(QUERY, k=1)[0].page_content == TOPICS[0]
    found = MiniLMRetriever(collection=open_collection("docs", client=client), k=3).invoke(QUERY)
    assert [document.id for document in found] == [document.id for document in store.similarity_search(QUERY, k=3)]


async def test_in_memory_store() -> None:
    store = await InMemoryVectorStore.afrom_texts(TOPICS, MiniLMEmbeddings())
    found = await store.asimilarity_search_with_score(QUERY, k=2)
    core = MiniLMEmbedder()
    expected = cosine_similarity(core.encode(QUERY), core.encode(TOPICS)).max()
    assert found[0][0].page_content == TOPICS[0]
    assert found[0][1] == pytest.approx(float(expected), abs=1e-6)


def test_a_cache_of_embeddings() -> None:
    embeddings = MiniLMEmbeddings()
    calls: list[list[str]] = []

    class Counting(MiniLMEmbeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            calls.append(texts)
            return super().embed_documents(texts)

    cached = CacheBackedEmbeddings.from_bytes_store(
        Counting(), InMemoryByteStore(), namespace=embeddings.fingerprint, key_encoder="sha256"
    )
    first = cached.embed_documents(TOPICS)
    assert cached.embed_documents([*TOPICS, "new"])[: len(TOPICS)] == first == embeddings.embed_documents(TOPICS)
    assert calls == [TOPICS, ["new"]]


def test_the_indexing_api_embeds_only_what_is_new(tmp_path: Path) -> None:
    store = Chroma(collection_name="docs", client=local_client(tmp_path), embedding_function=MiniLMEmbeddings())
    manager = InMemoryRecordManager("docs")
    manager.create_schema()
    documents = [Document(page_content=text, metadata={"source": str(n)}) for n, text in enumerate(TOPICS)]

    def run(documents: list[Document]) -> dict[str, int]:
        return dict(
            index(documents, manager, store, cleanup="full", source_id_key="source", key_encoder="sha256")  # type: ignore[arg-type]
        )

    assert run(documents)["num_added"] == len(TOPICS)
    again = run(documents)
    assert (again["num_added"], again["num_skipped"]) == (0, len(TOPICS))
    assert run(documents[1:])["num_deleted"] == 1


def test_a_chain_answers_from_what_was_found(collection: Any) -> None:
    retriever = MiniLMRetriever(collection=collection, k=1)
    prompt = ChatPromptTemplate.from_template("{context}\n\nQuestion: {question}")
    model = FakeListChatModel(responses=["On the mat."])
    inputs: list[Any] = []

    def seen(value: Any) -> Any:
        inputs.append(value)
        return value

    chain = {"context": retriever, "question": RunnablePassthrough()} | prompt | seen | model | StrOutputParser()
    assert chain.invoke("Where did the cat sit?") == "On the mat."
    assert TOPICS[0] in inputs[0].to_string()


def test_score_is_the_cosine_and_documents_are_whole(collection: Any, embedder: MiniLMEmbedder) -> None:
    found = MiniLMRetriever(collection=collection, k=10).invoke(QUERY)
    cosines = dict(zip(TOPICS, cosine_similarity(embedder.encode(QUERY), embedder.encode(TOPICS)), strict=True))
    assert len(found) == len(TOPICS)
    for document in found:
        assert document.metadata["score"] == pytest.approx(float(cosines[document.page_content]), abs=1e-6)
        assert TOPICS[document.metadata["number"]] == document.page_content
        assert document.id == f"id-{document.metadata['number']:05}"
    renamed = MiniLMRetriever(collection=collection, score_key="cosine").invoke(QUERY)[0]
    assert "score" not in renamed.metadata
    assert renamed.metadata["cosine"] == found[0].metadata["score"]


async def test_options_of_one_search(collection: Any) -> None:
    retriever = MiniLMRetriever(collection=collection, k=5, filter={"even": True})
    assert {document.metadata["even"] for document in retriever.invoke(QUERY)} == {True}
    assert len(retriever.invoke(QUERY, k=2)) == len(await retriever.ainvoke(QUERY, k=2)) == 2
    assert len(retriever.invoke(QUERY, k=20, filter=None)) == 10
    best = retriever.invoke(QUERY)[0].metadata["score"]
    assert len(await retriever.ainvoke(QUERY, min_score=best)) == 1
    for exact in (True, False, "auto"):
        assert await retriever.ainvoke(QUERY, exact=exact) == retriever.invoke(QUERY)
    assert [d.id for d in retriever.invoke(QUERY, filter=None, where_document={"$contains": "Mars"})] == ["id-00008"]
    assert retriever.batch([QUERY, "finance"])[0] == retriever.invoke(QUERY)
    assert (await retriever.abatch([QUERY]))[0] == retriever.invoke(QUERY)


async def test_configured_and_copied_retrievers(
    collection: Any, tmp_path: Path, embedder: MiniLMEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[Any] = []
    monkeypatch.setattr(
        "minilm_retrieval.store.retriever.check_collection",
        lambda *given: checks.append(given) or check_collection(*given),
    )
    retriever = MiniLMRetriever(collection=collection)
    configured = retriever.configurable_fields(k=ConfigurableField(id="k"))
    for k in (2, 3):
        assert len(configured.invoke(QUERY, config={"configurable": {"k": k}})) == k
        assert len(await configured.ainvoke(QUERY, config={"configurable": {"k": k}})) == k
    assert len(checks) == 1, "a collection is checked when it is opened, not at every call"

    other = fill(local_client(tmp_path / "other"), "other", embedder.encode(["another"]), documents=["another"])
    assert [d.page_content for d in retriever.model_copy(update={"collection": other}).invoke(QUERY)] == ["another"]
    assert len(retriever.model_copy(update={"k": 2}).invoke(QUERY)) == 2
    assert len(retriever.invoke(QUERY, verbose=True)) == 10


def test_the_query_goes_through_the_embeddings_object(collection: Any) -> None:
    class Rewriting(MiniLMEmbeddings):
        def embed_query(self, text: str) -> list[float]:
            return super().embed_query(text.replace("pussycat", "cat"))

    found = MiniLMRetriever(collection=collection, embeddings=Rewriting(), k=3).invoke("a cat on a mat")
    assert MiniLMRetriever(collection=collection, embeddings=Rewriting(), k=3).invoke("a pussycat on a mat") == found


async def test_a_long_query_warns_where_it_is_asked(collection: Any) -> None:
    retriever = MiniLMRetriever(collection=collection)
    with pytest.warns(TruncationWarning) as caught:
        retriever.invoke("word " * 400)
    with pytest.warns(TruncationWarning) as caught_async:
        await retriever.ainvoke("word " * 300)
    assert [warning.filename for warning in [*caught, *caught_async]] == [__file__, __file__]


async def test_mistakes_are_named(collection: Any, tmp_path: Path) -> None:
    retriever = MiniLMRetriever(collection=collection)
    with pytest.raises(InvalidOptionError, match=r"no option top_k; expected some of k, filter"):
        retriever.invoke(QUERY, top_k=3)
    with pytest.raises(InvalidOptionError, match="no option top_k"):
        await retriever.ainvoke(QUERY, top_k=3)
    with pytest.raises(InvalidOptionError, match="k must be a whole number of at least 1, got 0"):
        MiniLMRetriever(collection=collection, k=0)
    with pytest.raises(ValueError, match="search_kwargs"):
        MiniLMRetriever(collection=collection, search_kwargs={"k": 3})
    with pytest.raises(InvalidOptionError, match="Expected a Chroma collection, got str"):
        MiniLMRetriever(collection="docs")
    with pytest.raises(InvalidFilterError):
        retriever.invoke(QUERY, filter={"$bad": 1})
    other = fill(local_client(tmp_path / "other"), "other", random_vectors(10), documents=TOPICS)
    with pytest.raises(CollectionMismatchError, match="embedded by another model"):
        MiniLMRetriever(collection=other)


def test_nothing_secret_or_heavy_is_serialised(collection: Any) -> None:
    retriever = MiniLMRetriever(collection=collection, embeddings=MiniLMEmbeddings(threads=1))
    retriever.invoke(QUERY)
    for thing in (retriever, retriever.embeddings):
        assert len(str(dumpd(thing))) < 3000
        assert "collection=" not in repr(thing)
    assert "collection" not in retriever.model_dump()


def test_langsmith_learns_store_and_model(collection: Any) -> None:
    class Recorder(BaseTracer):
        runs: list[Any] = []  # noqa: RUF012

        def _persist_run(self, run: Any) -> None:
            self.runs.append(run)

    recorder = Recorder()
    MiniLMRetriever(collection=collection).invoke(QUERY, config={"callbacks": [recorder]})
    metadata = recorder.runs[0].extra["metadata"]
    assert metadata["ls_retriever_name"] == "minilm"
    assert metadata["ls_vector_store_provider"] == "Chroma"
    assert metadata["ls_embedding_provider"] == "MiniLMEmbeddings"
    assert metadata["ls_embedding_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert len(recorder.runs[0].outputs["documents"]) == 10


async def test_searches_at_the_same_time(collection: Any) -> None:
    retriever = MiniLMRetriever(collection=collection, k=3)
    expected = [retriever.invoke(text) for text in TOPICS]
    assert await asyncio.gather(*[retriever.ainvoke(text) for text in TOPICS]) == expected
