"""The LlamaIndex classes in LlamaIndex's own machinery: indexes, pipelines, parsers, query engines, events."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import Document, MockEmbedding, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SemanticSplitterNodeParser, SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import MetadataMode, NodeRelationship, QueryBundle, RelatedNodeInfo, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.vector_stores import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict
from llama_index.vector_stores.chroma import ChromaVectorStore
from stores import TOPICS, fill, local_client, random_vectors

from llama_index_minilm import MiniLMEmbedding, MiniLMRetriever
from minilm_retrieval import MiniLMEmbedder
from minilm_retrieval.errors import CollectionMismatchError, InvalidFilterError, InvalidOptionError, TruncationWarning
from minilm_retrieval.similarity import cosine_similarity
from minilm_retrieval.store.stored_text import embedded_text

QUERY = "a pet that likes to sleep"


def topic_nodes() -> list[TextNode]:
    """One node a topic, of one document, each with its successor and metadata that is part of what is embedded."""
    nodes = [
        TextNode(
            id_=f"node-{number}", text=text, metadata={"number": number, "kind": "even" if number % 2 == 0 else "odd"}
        )
        for number, text in enumerate(TOPICS)
    ]
    for node, following in pairwise(nodes):
        node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id="the-document")
        node.relationships[NodeRelationship.NEXT] = RelatedNodeInfo(node_id=following.node_id)
    return nodes


@pytest.fixture
def collection(tmp_path: Path) -> Any:
    """Written by LlamaIndex."""
    written = local_client(tmp_path).create_collection("docs")
    context = StorageContext.from_defaults(vector_store=ChromaVectorStore(chroma_collection=written))
    VectorStoreIndex(topic_nodes(), storage_context=context, embed_model=MiniLMEmbedding())
    return written


def test_vector_store_index_kept_and_loaded_again(tmp_path: Path) -> None:
    index = VectorStoreIndex(topic_nodes(), embed_model=MiniLMEmbedding())
    index.storage_context.persist(str(tmp_path))
    loaded = load_index_from_storage(
        StorageContext.from_defaults(persist_dir=str(tmp_path)), embed_model=MiniLMEmbedding()
    )
    found, again = (one.as_retriever(similarity_top_k=3).retrieve(QUERY) for one in (index, loaded))
    assert [(hit.node_id, hit.score) for hit in found] == [(hit.node_id, hit.score) for hit in again]
    assert found[0].node.get_content() in TOPICS[:2]


def test_ingestion_pipeline_with_a_cache() -> None:
    calls: list[list[str]] = []

    class Counting(MiniLMEmbedding):
        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            calls.append(texts)
            return super()._get_text_embeddings(texts)

    cache = IngestionCache()

    def run() -> Any:
        splitter = SentenceSplitter(chunk_size=64, chunk_overlap=0)
        pipeline = IngestionPipeline(transformations=[splitter, Counting()], cache=cache)
        return pipeline.run(documents=[Document(id_="one", text=" ".join(TOPICS))])

    nodes = run()
    assert len(calls) == 1
    assert all(len(node.embedding) == 384 for node in nodes)
    assert [node.embedding for node in run()] == [node.embedding for node in nodes]
    assert len(calls) == 1, "the second run took everything from the cache"


def test_semantic_splitter() -> None:
    splitter = SemanticSplitterNodeParser(
        embed_model=MiniLMEmbedding(), breakpoint_percentile_threshold=60, buffer_size=1
    )
    nodes = splitter.get_nodes_from_documents([Document(text=" ".join(TOPICS))])
    assert 1 < len(nodes) < len(TOPICS)
    assert "".join(node.get_content() for node in nodes).replace(" ", "") == "".join(TOPICS).replace(" ", "")


def test_a_cache_of_embeddings_is_used() -> None:
    store = SimpleKVStore()
    embedding = MiniLMEmbedding(embeddings_cache=store)
    first = embedding.get_text_embedding_batch(TOPICS)
    assert MiniLMEmbedding(embeddings_cache=store).get_text_embedding_batch(TOPICS) == first
    assert set(store.get_all("embeddings")) == set(TOPICS)


def test_to_dict_and_back() -> None:
    original = MiniLMEmbedding(max_seq_length=64, on_truncate="ignore", embed_batch_size=100)
    kept = original.to_dict()
    assert kept["class_name"] == MiniLMEmbedding.class_name() == "MiniLMEmbedding"
    loaded = MiniLMEmbedding.from_dict(kept)
    assert loaded.to_dict() == kept
    assert MiniLMEmbedding.from_json(original.to_json()).to_dict() == kept
    assert loaded.get_text_embedding("word " * 90) == original.get_text_embedding("word " * 90)
    assert len(str(kept)) < 1000
    assert MiniLMEmbedding(**kept).to_dict() == MiniLMEmbedding.model_validate(kept).to_dict() == kept


def test_events_are_reported() -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    embedding = MiniLMEmbedding(callback_manager=CallbackManager([handler]), embed_batch_size=4)
    embedding.get_text_embedding_batch(TOPICS)
    assert len(handler.get_event_pairs(CBEventType.EMBEDDING)) == 3


def test_a_retriever_reports_its_embedding_too(collection: Any) -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    MiniLMRetriever(collection, callback_manager=CallbackManager([handler])).retrieve(QUERY)
    assert len(handler.get_event_pairs(CBEventType.RETRIEVE)) == 1
    assert len(handler.get_event_pairs(CBEventType.EMBEDDING)) == 1


def test_truncation_is_reported_where_the_texts_come_from() -> None:
    with pytest.warns(TruncationWarning, match=r"position 1 \(302 tokens\)") as caught:
        MiniLMEmbedding().get_text_embedding_batch(["short", "word " * 300])
    assert [warning.filename for warning in caught] == [__file__]


def test_nodes_come_back_whole_with_their_cosine(collection: Any, embedder: MiniLMEmbedder) -> None:
    found = MiniLMRetriever(collection).retrieve(QUERY)
    nodes = {node.node_id: node for node in topic_nodes()}
    assert len(found) == len(TOPICS)
    for hit in found:
        node = nodes[hit.node_id]
        assert hit.node.get_content() == node.text
        assert hit.node.metadata == node.metadata
        assert hit.node.relationships == node.relationships
        embedded = node.get_content(metadata_mode=MetadataMode.EMBED)
        assert "kind: " in embedded, "LlamaIndex embeds the metadata with the text"
        expected = cosine_similarity(embedder.encode(QUERY), embedder.encode([embedded]))[0]
        assert hit.score == pytest.approx(float(expected), abs=1e-5)


def test_records_of_other_tools_come_back_as_text_nodes(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    metadatas = [{"number": number} for number in range(len(TOPICS))]
    other = fill(local_client(tmp_path), "docs", embedder.encode(TOPICS), documents=TOPICS, metadatas=metadatas)
    hit = MiniLMRetriever(other, similarity_top_k=1).retrieve(QUERY)[0]
    assert (hit.node_id, hit.node.get_content(), hit.node.metadata) == ("id-00000", TOPICS[0], {"number": 0})


def test_nodes_of_the_old_layout_and_damaged_ones(tmp_path: Path, embedder: MiniLMEmbedder) -> None:
    metadatas = [
        {"relationships": '{"1": "the-document"}', "node_info": '{"start": 3, "end": 9}', "number": 0},
        {"_node_content": "{damaged", "number": 1},
        {"relationships": "[damaged", "number": 2},
        {"text": "a user's own key", "id": 5, "number": 3},
    ]
    other = fill(local_client(tmp_path), "docs", embedder.encode(TOPICS[:4]), documents=TOPICS[:4], metadatas=metadatas)
    found = {hit.node.metadata["number"]: hit.node for hit in MiniLMRetriever(other).retrieve(QUERY)}
    assert [found[number].get_content() for number in range(4)] == TOPICS[:4]
    assert found[0].ref_doc_id == "the-document"
    assert (found[0].start_char_idx, found[0].end_char_idx) == (3, 9)
    assert [found[number].metadata for number in (1, 2, 3)] == metadatas[1:]


def test_nodes_of_another_model_are_refused(tmp_path: Path) -> None:
    class Another(MiniLMEmbedding):
        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return random_vectors(len(texts)).tolist()  # type: ignore[no-any-return]

    written = local_client(tmp_path).create_collection("docs")
    context = StorageContext.from_defaults(vector_store=ChromaVectorStore(chroma_collection=written))
    VectorStoreIndex(topic_nodes(), storage_context=context, embed_model=Another())
    with pytest.raises(CollectionMismatchError, match="embedded by another model"):
        MiniLMRetriever(written)


def test_the_text_that_was_embedded_is_known(collection: Any) -> None:
    """Nothing of LlamaIndex is needed for it."""
    stored = collection.get()
    for document, metadata in zip(stored["documents"], stored["metadatas"], strict=True):
        node = metadata_dict_to_node(metadata, text=document)
        assert embedded_text(document, metadata) == node.get_content(metadata_mode=MetadataMode.EMBED) != document
    node = TextNode(
        text="The text.",
        metadata={"title": "{content}", "page": 3, "secret": "x"},
        excluded_embed_metadata_keys=["secret"],
        metadata_template="<{key}={value}>",
        metadata_separator="|",
        text_template="{content} -- {metadata_str}",
    )
    assert embedded_text("The text.", node_to_metadata_dict(node)) == "The text. -- <title={content}>|<page=3>"
    assert embedded_text("The text.", {"_node_content": "{damaged"}) is None
    assert embedded_text("The text.", {"_node_content": "[1]"}) is None


async def test_async_and_given_embeddings(collection: Any, embedder: MiniLMEmbedder) -> None:
    retriever = MiniLMRetriever(collection, MiniLMEmbedding(), similarity_top_k=3)
    found = retriever.retrieve(QUERY)
    assert await retriever.aretrieve(QUERY) == found

    vector = (embedder.encode(QUERY) * 7).tolist()
    given = retriever.retrieve(QueryBundle("something else", embedding=vector))
    assert [hit.node_id for hit in given] == [hit.node_id for hit in found]
    assert [hit.score for hit in given] == pytest.approx([hit.score for hit in found], abs=1e-6)

    bundle = QueryBundle("ignored", custom_embedding_strs=[QUERY, "finance"])
    mean = np.mean(embedder.encode([QUERY, "finance"]), axis=0)
    expected = retriever.retrieve(QueryBundle("", embedding=(mean / np.linalg.norm(mean)).tolist()))
    for several in (retriever.retrieve(bundle), await retriever.aretrieve(bundle)):
        assert [hit.node_id for hit in several] == [hit.node_id for hit in expected]
        assert [hit.score for hit in several] == pytest.approx([hit.score for hit in expected], abs=1e-6)
    assert len(retriever.retrieve("")) == 3


def test_filters(collection: Any) -> None:
    def ids(filters: MetadataFilters | None = None, **options: Any) -> set[str]:
        return {hit.node_id for hit in MiniLMRetriever(collection, filters=filters, **options).retrieve(QUERY)}

    def is_(key: str, value: Any, operator: FilterOperator = FilterOperator.EQ) -> MetadataFilter:
        return MetadataFilter(key=key, value=value, operator=operator)

    even = {f"node-{number}" for number in range(0, 10, 2)}
    assert ids(MetadataFilters(filters=[is_("kind", "even")])) == even
    assert ids(where={"kind": "even"}) == even
    assert ids(MetadataFilters(filters=[])) == ids()
    two = MetadataFilters(filters=[is_("kind", "even"), is_("number", 5, FilterOperator.GT)])
    assert ids(two) == {"node-6", "node-8"}
    assert ids(two, where={"number": {"$lt": 8}}) == {"node-6"}
    either = MetadataFilters(filters=[two, is_("number", [1, 3], FilterOperator.IN)], condition=FilterCondition.OR)
    assert ids(either) == {"node-6", "node-8", "node-1", "node-3"}
    assert ids(min_score=1.0) == set()
    assert ids(where_document={"$contains": "Mars"}) == {"node-8"}
    with pytest.raises(InvalidFilterError, match=r"no operator 'text_match'.*'==', '!='"):
        ids(MetadataFilters(filters=[is_("kind", "e", FilterOperator.TEXT_MATCH)]))
    with pytest.raises(InvalidFilterError, match="filters must be MetadataFilters, got list"):
        ids([is_("kind", "even")])  # type: ignore[arg-type]
    with pytest.raises(InvalidFilterError, match="no condition 'not'"):
        ids(MetadataFilters(filters=[is_("kind", "even")], condition=FilterCondition.NOT))


def test_mistakes_are_named(collection: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidOptionError, match="k must be a whole number of at least 1, got 0"):
        MiniLMRetriever(collection, similarity_top_k=0)
    with pytest.raises(InvalidOptionError, match="Expected a MiniLMEmbedding as embed_model, got MockEmbedding"):
        MiniLMRetriever(collection, MockEmbedding(384))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="top_k"):
        MiniLMRetriever(collection, top_k=3)
    other = fill(local_client(tmp_path / "other"), "other", random_vectors(10), documents=TOPICS)
    with pytest.raises(CollectionMismatchError, match="embedded by another model"):
        MiniLMRetriever(other)


def test_a_query_engine_answers_from_what_was_found(collection: Any) -> None:
    engine = RetrieverQueryEngine.from_args(MiniLMRetriever(collection, similarity_top_k=1), llm=MockLLM())
    response = engine.query("Where did the cat sit?")
    assert TOPICS[0] in str(response), "the mock model repeats its prompt"
    assert [hit.node_id for hit in response.source_nodes] == ["node-0"]
