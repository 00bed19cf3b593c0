"""Cosine search over a stored collection as a LlamaIndex retriever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llama_index_minilm.embedding import MiniLMEmbedding
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.store import DEFAULT_K, Exact, Hit, Retriever, SearchOptions

# Imported after the embedding model, whose import names the extra where llama-index-core is missing.
from llama_index.core.base.base_retriever import BaseRetriever  # isort: skip
from llama_index.core.callbacks import CallbackManager  # isort: skip
from llama_index.core.schema import BaseNode, NodeWithScore, QueryBundle, TextNode  # isort: skip
from llama_index.core.vector_stores.types import MetadataFilters  # isort: skip
from llama_index.core.vector_stores.utils import legacy_metadata_dict_to_node, metadata_dict_to_node  # isort: skip
from llama_index_minilm.filters import chroma_filter  # isort: skip

if TYPE_CHECKING:
    from chromadb import Collection


_NODE_CONTENT = "_node_content"
_OLD_LAYOUT = {"node_info", "relationships"}


class MiniLMRetriever(BaseRetriever):
    """Finds the stored nodes nearest to a query, best first; a node's score is its cosine similarity.

    Nodes that ``ChromaVectorStore`` wrote come back with their relationships and metadata; records of other tools come
    back as text nodes. A query bundle's own embedding is used if it has one; several embedding strings are embedded one
    by one and averaged.

    Args:
        collection: See :func:`minilm_retrieval.open_collection`.
        embed_model: What the query is embedded with; ``None`` for all-MiniLM-L6-v2 with its defaults.
        similarity_top_k: The ``k`` of :meth:`minilm_retrieval.Retriever.search`.
        filters: LlamaIndex's metadata filters.
        where: See :meth:`minilm_retrieval.Retriever.search`, as for the following arguments.
        where_document: Likewise.
        min_score: Likewise.
        exact: Likewise.
        callback_manager: LlamaIndex's own, as for its other retrievers.
        options: Further arguments of LlamaIndex's ``BaseRetriever``: ``object_map``, ``objects``, ``verbose``.

    Raises:
        CollectionMismatchError: The collection was embedded by another model.
        InvalidOptionError: An option is out of range.
        InvalidFilterError: Chroma has no such filter.
    """

    def __init__(
        self,
        collection: Collection,
        embed_model: MiniLMEmbedding | None = None,
        similarity_top_k: int = DEFAULT_K,
        filters: MetadataFilters | None = None,
        *,
        where: Mapping[str, Any] | None = None,
        where_document: Mapping[str, Any] | None = None,
        min_score: float | None = None,
        exact: Exact = "auto",
        callback_manager: CallbackManager | None = None,
        **options: Any,
    ) -> None:
        super().__init__(callback_manager=callback_manager, **options)
        if embed_model is None:
            embed_model = MiniLMEmbedding(callback_manager=self.callback_manager)
        if not isinstance(embed_model, MiniLMEmbedding):
            raise InvalidOptionError(f"Expected a MiniLMEmbedding as embed_model, got {type(embed_model).__name__}.")
        self._embed_model = embed_model
        parts = [part for part in (chroma_filter(filters), where) if part]
        self._options: dict[str, Any] = {
            "k": similarity_top_k,
            "where": {"$and": parts} if len(parts) > 1 else next(iter(parts), None),
            "where_document": where_document,
            "min_score": min_score,
            "exact": exact,
        }
        SearchOptions.of(**self._options)
        self._retriever = Retriever(collection, self._embed_model.embedder)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        vector = query_bundle.embedding
        if vector is None:
            vector = self._embed_model.get_agg_embedding_from_queries(_texts(query_bundle))
        return _nodes(self._retriever.search_vectors(vector, **self._options)[0])

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        vector = query_bundle.embedding
        if vector is None:
            vector = await self._embed_model.aget_agg_embedding_from_queries(_texts(query_bundle))
        return _nodes((await self._retriever.asearch_vectors(vector, **self._options))[0])


def _texts(query_bundle: QueryBundle) -> list[str]:
    return query_bundle.embedding_strs or [query_bundle.query_str]


def _nodes(hits: list[Hit]) -> list[NodeWithScore]:
    return [NodeWithScore(node=_node(hit), score=hit.score) for hit in hits]


def _node(hit: Hit) -> BaseNode:
    """Read a node back; what LlamaIndex did not write, or wrote in its old layout or damaged, is a text node."""
    metadata, text = dict(hit.metadata), hit.document or ""
    try:
        if _NODE_CONTENT in metadata:
            return metadata_dict_to_node(metadata, text=hit.document)
        if metadata.keys() & _OLD_LAYOUT:
            own, place, relationships = legacy_metadata_dict_to_node(metadata)
            return TextNode(
                id_=hit.id,
                text=text,
                metadata=own,
                relationships=relationships,
                start_char_idx=place.get("start"),
                end_char_idx=place.get("end"),
            )
    except (ValueError, AttributeError, TypeError):
        pass
    return TextNode(id_=hit.id, text=text, metadata=metadata)
