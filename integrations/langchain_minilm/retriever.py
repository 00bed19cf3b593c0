"""Cosine search over a stored collection as a LangChain retriever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from langchain_minilm.embeddings import MiniLMEmbeddings
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.store import DEFAULT_K, Exact, Hit, Retriever, SearchOptions

# Imported after the embeddings, whose import names the extra where langchain-core is missing.
from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun  # isort: skip
from langchain_core.documents import Document  # isort: skip
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams  # isort: skip
from pydantic import ConfigDict, Field, PrivateAttr  # isort: skip
from typing_extensions import Self  # isort: skip

_SEARCH_OPTIONS = ("k", "filter", "where_document", "min_score", "exact")


class MiniLMRetriever(BaseRetriever):
    """Finds the stored documents nearest to a query, best first, by cosine similarity, without reranking.

    The collection may have been written by this library, by langchain-chroma, by LlamaIndex or by Chroma itself.
    ``invoke(query, k=3)`` and ``ainvoke(query, k=3)`` override the object's own options for one search.

    Args:
        collection: See :func:`minilm_retrieval.open_collection`.
        embeddings: What the query is embedded with; by default all-MiniLM-L6-v2.
        k: See :meth:`minilm_retrieval.Retriever.search`, as for all further arguments.
        filter: Its ``where``: Chroma's metadata filter.
        where_document: Likewise.
        min_score: Likewise.
        exact: Likewise.
        score_key: Where a found document's metadata holds its cosine similarity; a stored value of that name is
            replaced.

    Raises:
        CollectionMismatchError: The collection was embedded by another model.
        InvalidOptionError: An option is out of range, or is none.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    collection: Any = Field(exclude=True, repr=False, frozen=True)
    embeddings: MiniLMEmbeddings = Field(default_factory=MiniLMEmbeddings, frozen=True)
    k: int = DEFAULT_K
    filter: Mapping[str, Any] | None = None
    where_document: Mapping[str, Any] | None = None
    min_score: float | None = None
    exact: Exact = "auto"
    score_key: str = "score"

    _retriever: Retriever = PrivateAttr()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Outside pydantic's validation, so that the errors stay this library's own.
        SearchOptions.of(**self._options({}))
        self._retriever = _retriever_of(self.collection, self.embeddings)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with the updated options; the collection itself is never copied."""
        return type(self)(**{**dict(self), **(update or {})})

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **changes: Any
    ) -> list[Document]:
        options = self._options(changes)
        return self._documents(self._retriever.search_vectors(self.embeddings.embed_query(query), **options)[0])

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **changes: Any
    ) -> list[Document]:
        options = self._options(changes)
        vector = await self.embeddings.aembed_query(query)
        return self._documents((await self._retriever.asearch_vectors(vector, **options))[0])

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = "Chroma"
        params["ls_embedding_provider"] = type(self.embeddings).__name__
        params["ls_embedding_model"] = self.embeddings.model_name
        return params

    def _options(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a search under the core's names."""
        # BaseRetriever takes verbose for itself, and passes it on all the same.
        unknown = sorted(changes.keys() - {*_SEARCH_OPTIONS, "verbose"})
        if unknown:
            raise InvalidOptionError(
                f"A search has no option {', '.join(unknown)}; expected some of {', '.join(_SEARCH_OPTIONS)}."
            )
        options = {name: changes.get(name, getattr(self, name)) for name in _SEARCH_OPTIONS}
        options["where"] = options.pop("filter")
        return options

    def _documents(self, hits: list[Hit]) -> list[Document]:
        return [
            Document(id=hit.id, page_content=hit.document or "", metadata={**hit.metadata, self.score_key: hit.score})
            for hit in hits
        ]


_retrievers: WeakValueDictionary[tuple[int, MiniLMEmbeddings], Retriever] = WeakValueDictionary()


def _retriever_of(collection: Any, embeddings: MiniLMEmbeddings) -> Retriever:
    """Return the core's retriever, which checks the collection, the same one while any is in use.

    LangChain makes the object anew for every call that is configured (``configurable_fields``). The number of an object
    is its own as long as it lives, and the retriever keeps its collection alive.
    """
    key = (id(collection), embeddings)
    retriever = _retrievers.get(key)
    if retriever is None:
        retriever = _retrievers[key] = Retriever(collection, embeddings.embedder)
    return retriever
