"""Retrieval with judged answers: how well searches find what people said answers a query."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from minilm_retrieval.errors import DocumentError, InvalidOptionError, MissingExtraError
from minilm_retrieval.evaluation.beir import DEFAULT_SPLIT, JudgedCollection, read_collection
from minilm_retrieval.evaluation.bootstrap import DEFAULT_RESAMPLES, Comparison, Rows, Values, check_resampling, compare
from minilm_retrieval.evaluation.encoders import CheckedEncoder, Encoder, blocks
from minilm_retrieval.evaluation.searches import ExactSearch, Found, StoredSearch, temporary_index
from minilm_retrieval.progress import progress_bar
from minilm_retrieval.store import Retriever

DEFAULT_MEASURES = ("nDCG@10", "Recall@100", "MRR@10", "MAP@100")
"""In the notation of ir-measures. nDCG has the grade itself as gain, as trec_eval has."""
# So many documents a query are looked at for a measure without a cutoff, as is usual.
_DEPTH = 1000
_LEAST_QUERIES = 2


@dataclass(frozen=True)
class RetrievalReport(Comparison):
    """What :func:`evaluate_retrieval` found; measures are from 0 to 1.

    Attributes:
        documents: How many there are.
        queries: How many have judgements.
        judgements: How many there are.
        cut_documents: By system, how many documents are longer than its model reads; ``None`` where that is not known,
            as of a stored collection.
        cut_queries: Likewise.
    """

    documents: int
    queries: int
    judgements: int
    cut_documents: dict[str, int | None]
    cut_queries: dict[str, int | None]


def evaluate_retrieval(
    directory: str | os.PathLike[str],
    systems: Mapping[str, Encoder | Retriever],
    *,
    split: str = DEFAULT_SPLIT,
    measures: Sequence[str] = DEFAULT_MEASURES,
    approximate: bool = False,
    document_field: str | None = None,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
    show_progress: bool = False,
) -> RetrievalReport:
    """Search a collection with judged answers, with one or more models or stored collections side by side.

    A document is its title and text, cut where it is longer than the model reads, as in published figures. Documents
    are read, embedded and compared some at a time, in memory that does not grow with their texts and vectors.

    Args:
        directory: The collection, in the layout of BEIR: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv.
        systems: By a name for each: embedders, or anything with ``encode(texts)``, which embed and search the corpus,
            and retrievers, whose stored collections are searched. Of an embedder the report has ``"NAME, exact"``, of a
            retriever ``"NAME, exact"`` and ``"NAME, approximate"``.
        split: Which judgements to take.
        measures: In the notation of ir-measures, such as ``"nDCG@10"``, ``"P@5"`` or ``"AP(rel=2)@100"``.
        approximate: Also store each embedder's vectors in a temporary Chroma collection, and ask its index:
            ``"NAME, approximate"``.
        document_field: Metadata field of a stored collection with the id of the document that a record is of; ``None``
            for records with the documents' own ids, and for passages that ``minilm index`` made of corpus.jsonl.
        resamples: How many resamples of the queries the 95% percentile intervals are computed from.
        seed: Decides which ones.
        show_progress: Show progress bars on standard error.

    Raises:
        DocumentError: A file is missing or malformed, an id is unknown or occurs twice, or a stored collection holds
            none of the documents.
        InvalidOptionError: There is no system or measure, a measure is unknown, or ``resamples`` is less than 1.
        EngineError: A model gave something that is not a vector.
        StoreError: Chroma failed.
        MissingExtraError: ir-measures, scipy or chromadb is not installed.
    """
    if not systems:
        raise InvalidOptionError("Give at least one system to evaluate.")
    check_resampling(resamples, seed)
    parsed = _parsed(measures)
    data = read_collection(directory, split)
    if len(data.query_ids) < _LEAST_QUERIES:
        raise DocumentError(f"{data.directory}: one query is judged; an interval needs at least {_LEAST_QUERIES}.")
    run = _Run(data, max(measure.params.get("cutoff", _DEPTH) for measure in parsed.values()), show_progress)
    for name, system in systems.items():
        if isinstance(system, Retriever):
            run.search_stored(name, system, document_field)
        else:
            run.search_corpus(name, system, approximate)
    compared = compare(
        _Means(_scores(parsed, data, run.found)),
        len(data.query_ids),
        list(run.found),
        list(parsed),
        resamples=resamples,
        seed=seed,
    )
    return RetrievalReport(
        **vars(compared),
        documents=len(data.document_ids),
        queries=len(data.query_ids),
        judgements=data.judgement_count,
        cut_documents=run.cut_documents,
        cut_queries=run.cut_queries,
    )


class _Run:
    """Searches one collection with each system in turn.

    Attributes:
        found: By system and way of search, in the order of the queries.
        cut_documents: By system.
        cut_queries: By system.
    """

    def __init__(self, data: JudgedCollection, depth: int, show_progress: bool) -> None:
        self.found: dict[str, Found] = {}
        self.cut_documents: dict[str, int | None] = {}
        self.cut_queries: dict[str, int | None] = {}
        self._data = data
        self._depth = depth
        self._shown = show_progress

    def search_corpus(self, name: str, encoder: Encoder, approximate: bool) -> None:
        """Embed all documents, and search them."""
        data = self._data
        queries = self._queries(name, encoder)
        documents = CheckedEncoder(name, encoder)
        exact = ExactSearch(queries, self._depth)
        start = 0
        with ExitStack() as stack:
            index = stack.enter_context(temporary_index()) if approximate else None
            advance = stack.enter_context(
                progress_bar(f"Embedding with {name}", len(data.document_ids), self._shown, "documents")
            )
            for block in blocks(data.documents()):
                vectors = documents.encode(block)
                exact.add(start, vectors)
                if index is not None:
                    index.add(data.document_ids[start : start + len(block)], vectors)
                start += len(block)
                advance(len(block))
            self.found[f"{name}, exact"] = exact.found(data.document_ids)
            if index is not None:
                self.found[f"{name}, approximate"] = index.found(queries, self._depth)
        self.cut_documents[name] = documents.cut

    def search_stored(self, name: str, retriever: Retriever, document_field: str | None) -> None:
        """Search a collection that exists."""
        queries = self._queries(name, retriever.embedder)
        search = StoredSearch(retriever, dict.fromkeys(self._data.document_ids), document_field)
        for way, exact in (("exact", True), ("approximate", False)):
            with progress_bar(f"Searching {name}, {way}", len(queries), self._shown, "queries") as advance:
                self.found[f"{name}, {way}"] = search.found(queries, self._depth, exact, advance)
        self.cut_documents[name] = None

    def _queries(self, name: str, encoder: Encoder) -> Any:
        checked = CheckedEncoder(name, encoder)
        vectors = np.concatenate([checked.encode(block) for block in blocks(self._data.queries)])
        self.cut_queries[name] = checked.cut
        return vectors


class _Means:
    """The mean of each measure over any selection of queries.

    Args:
        scores: Shape ``(systems, measures, queries)``.
    """

    def __init__(self, scores: Values) -> None:
        self._scores = scores

    def __call__(self, rows: Rows) -> Values:
        """Return shape ``(systems, measures, b)`` for positions of shape ``(b, n)``."""
        return np.asarray(self._scores[:, :, rows].mean(axis=-1))


def _parsed(measures: Sequence[str]) -> dict[str, Any]:
    """Return ir-measures' measures by the names given, each measure once."""
    ir_measures = _ir_measures()
    parsed: dict[str, Any] = {}
    for name in measures:
        try:
            measure = ir_measures.parse_measure(name)
            known = ir_measures.DefaultPipeline.supports(measure) and measure.params.get("cutoff", 1) >= 1
        except (NameError, ValueError, AssertionError, TypeError):
            known = False
        if not known:
            raise InvalidOptionError(
                f"{name!r} is not a measure of ir-measures that can be computed here; names are such as "
                f"{', '.join(DEFAULT_MEASURES)}, P@5 or Success@1, and capitals count."
            )
        if measure not in parsed.values():
            parsed[name] = measure
    if not parsed:
        raise InvalidOptionError("Give at least one measure.")
    return parsed


def _scores(measures: Mapping[str, Any], data: JudgedCollection, found: Mapping[str, Found]) -> Values:
    """Return each query's score, shape ``(systems, measures, queries)``."""
    evaluator = _ir_measures().evaluator(
        list(measures.values()), {id: dict(data.judgements[id]) for id in data.query_ids}
    )
    scores = np.zeros((len(found), len(measures), len(data.query_ids)))
    columns = {measure: column for column, measure in enumerate(measures.values())}
    rows = {id: row for row, id in enumerate(data.query_ids)}
    for number, answers in enumerate(found.values()):
        for metric in evaluator.iter_calc(dict(zip(data.query_ids, answers, strict=True))):
            scores[number, columns[metric.measure], rows[metric.query_id]] = metric.value
    return scores


def _ir_measures() -> Any:
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError("ir-measures", "eval") from error
    return ir_measures
