"""Judged similarity of sentences: how well cosines agree with what people said."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minilm_retrieval.errors import DocumentError, InvalidOptionError
from minilm_retrieval.evaluation.bootstrap import DEFAULT_RESAMPLES, Comparison, Rows, Values, check_resampling, compare
from minilm_retrieval.evaluation.encoders import CheckedEncoder, Encoder, blocks
from minilm_retrieval.evaluation.records import Record, listed, read_records, text_in
from minilm_retrieval.progress import progress_bar

MEASURES = ("Spearman", "Pearson")
LEAST_PAIRS = 3
SCORE_FIELDS = ("score", "similarity_score", "similarity", "gold_score", "relatedness_score", "label")
PAIR_FIELDS = (
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("sentence_a", "sentence_b"),
    ("text1", "text2"),
    ("text_1", "text_2"),
    ("text_a", "text_b"),
)
"""Names that are looked for, in any case, where none is given."""


@dataclass(frozen=True)
class StsReport(Comparison):
    """What :func:`evaluate_sts` found; measures are ``"Spearman"`` and ``"Pearson"``, from -1 to 1.

    Attributes:
        pairs: How many judged pairs there are.
        cut: By system, how many of their texts are longer than the model reads; ``None`` where that is not known.
    """

    pairs: int
    cut: dict[str, int | None]


@dataclass(frozen=True)
class _Pairs:
    scores: Values
    texts: list[tuple[str, str]]


def evaluate_sts(
    file: str | os.PathLike[str],
    systems: Mapping[str, Encoder],
    *,
    score_field: str | None = None,
    text_fields: tuple[str, str] | None = None,
    encoding: str | None = None,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
    show_progress: bool = False,
) -> StsReport:
    """Correlate cosine similarities with human scores, for one or more models side by side.

    Args:
        file: Judged pairs: JSONL, or CSV or TSV with a line of field names.
        systems: Embedders, or anything with ``encode(texts)``, by a name for each.
        score_field: Where the human score is; ``None`` to look for ``score`` and other usual names.
        text_fields: Where the two texts are; ``None`` to look for ``sentence1`` and ``sentence2`` and such.
        encoding: Of the file; ``None`` to find out.
        resamples: How many resamples of the pairs the 95% percentile intervals are computed from.
        seed: Decides which ones.
        show_progress: Show a progress bar on standard error.

    Raises:
        DocumentError: The file cannot be read, has no such fields, or a score is no number; the message says where.
        InvalidOptionError: There is no system, or ``resamples`` is less than 1.
        EngineError: A model gave something that is not a vector.
        MissingExtraError: scipy is not installed.
    """
    if not systems:
        raise InvalidOptionError("Give at least one system to evaluate.")
    check_resampling(resamples, seed)
    pairs = _read_pairs(file, score_field, text_fields, encoding)
    encoders = {name: CheckedEncoder(name, encoder) for name, encoder in systems.items()}
    cosines = []
    for name, encoder in encoders.items():
        with progress_bar(f"Embedding with {name}", 2 * len(pairs.texts), show_progress) as advance:
            cosines.append(_cosines(encoder, pairs.texts, advance))
    compared = compare(
        _Correlations(np.stack(cosines), pairs.scores),
        len(pairs.scores),
        list(systems),
        MEASURES,
        resamples=resamples,
        seed=seed,
    )
    return StsReport(
        **vars(compared), pairs=len(pairs.scores), cut={name: encoder.cut for name, encoder in encoders.items()}
    )


class _Correlations:
    """Spearman's and Pearson's correlation of each system's cosines with the scores, over any selection of pairs.

    Source: scipy.stats; Spearman's is Pearson's of the ranks, equal values having the mean of their ranks.
    """

    def __init__(self, cosines: Values, scores: Values) -> None:
        self._cosines = cosines
        self._scores = scores

    def __call__(self, rows: Rows) -> Values:
        """Return shape ``(systems, 2, b)`` for positions of shape ``(b, n)``."""
        from scipy.stats import rankdata

        scores = self._scores[rows]
        ranks = rankdata(scores, axis=-1)
        selected = (cosines[rows] for cosines in self._cosines)
        return np.stack([[_pearson(rankdata(one, axis=-1), ranks), _pearson(one, scores)] for one in selected])


def _pearson(left: Values, right: Values) -> Values:
    from scipy.stats import pearsonr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pearsonr(left, right, axis=-1).statistic
    # Where a resample of few pairs holds equal values only, nothing agrees with anything.
    return np.asarray(np.nan_to_num(found))


def _cosines(encoder: CheckedEncoder, pairs: list[tuple[str, str]], advance: Callable[[int], None]) -> Values:
    """Return the cosine similarity of each pair."""
    found = []
    for block in blocks(pairs):
        texts = [text for side in zip(*block, strict=True) for text in side]
        vectors = encoder.encode(texts).astype(np.float64)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        left, right = np.split(np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0), 2)
        found.append(np.einsum("ij,ij->i", left, right))
        advance(len(texts))
    return np.concatenate(found)


def _read_pairs(
    file: str | os.PathLike[str], score_field: str | None, text_fields: tuple[str, str] | None, encoding: str | None
) -> _Pairs:
    path = os.fspath(file)
    scores: list[float] = []
    texts: list[tuple[str, str]] = []
    names: tuple[str, str, str] | None = None
    for line, record in read_records(file, encoding):
        names = names or (_score_field(path, record, score_field), *_text_fields(path, record, text_fields))
        scores.append(_score(path, line, record.get(names[0])))
        texts.append((text_in(record, names[1], file, line), text_in(record, names[2], file, line)))
    if len(scores) < LEAST_PAIRS or len(set(scores)) == 1:
        what = f"{len(scores)} pairs" if len(scores) < LEAST_PAIRS else f"{len(scores)} pairs of one and the same score"
        raise DocumentError(f"{path}: holds {what}; a correlation needs {LEAST_PAIRS} pairs, and scores that differ.")
    return _Pairs(np.array(scores), texts)


def _score_field(path: str, record: Record, given: str | None) -> str:
    if given is not None:
        return _given(path, record, given)
    fields = {name.lower(): name for name in record}
    for name in SCORE_FIELDS:
        if name in fields:
            return fields[name]
    raise DocumentError(
        f"{path}: has no field of scores under a usual name ({listed(SCORE_FIELDS)}); its fields are {listed(record)}. "
        "Name it with score_field= or --score-field."
    )


def _text_fields(path: str, record: Record, given: tuple[str, str] | None) -> tuple[str, str]:
    if given is not None:
        return _given(path, record, given[0]), _given(path, record, given[1])
    fields = {name.lower(): name for name in record}
    for first, second in PAIR_FIELDS:
        if first in fields and second in fields:
            return fields[first], fields[second]
    raise DocumentError(
        f"{path}: has no two fields of texts under usual names ({', '.join(map(' and '.join, PAIR_FIELDS))}); its "
        f"fields are {listed(record)}. Name them with text_fields= or --text-fields."
    )


def _given(path: str, record: Record, name: str) -> str:
    if name not in record:
        raise DocumentError(f"{path}: has no field {name!r}; its fields are {listed(record)}.")
    return name


def _score(path: str, line: int, value: Any) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise DocumentError(f"{path}: line {line} has the score {value!r}; expected a finite number.")
    return score
