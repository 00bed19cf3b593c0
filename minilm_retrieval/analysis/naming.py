"""A name for each cluster, from the words that its texts have and others lack; in any language."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, count
from math import ceil
from textwrap import shorten

import numpy as np

from minilm_retrieval.errors import MissingExtraError
from minilm_retrieval.rows import IntArray

_NAME_WORDS = 3
_MOST_WORDS = 8
# About what the model reads of a text.
_READ_CHARACTERS = 2000
_LONGEST_WORD = 30
_EXCERPT = 40
# A word that is so many times as frequent as in other texts says what a cluster is about. Articles and the like are
# about as frequent everywhere, in every language, so no list of them is needed.
_CONTRAST = 4.0
_ALIKE = 2 / 3
# Han and kana, which put no spaces between words; two characters in a row stand for a word there.
_UNSPACED = "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")


def cluster_names(texts: Sequence[str], members: Sequence[IntArray], others: IntArray) -> list[str]:
    """Return a name of up to three words for each cluster; no two are the same.

    Words are ranked by class-based TF-IDF, ``tf(t, c) * log(1 + A / f(t))``: the share of word t among the words of
    cluster c, and the mean number A of words of a cluster over how often t occurs in all. A word counts once in a text,
    so that no long text names a cluster. Words are passed over that are hardly more frequent than in other texts, or a
    form of one that is in the name already. Where no word is left, as in texts of numbers only or where there are no
    other texts, the beginning of the cluster's first text is its name.

    Args:
        texts: All texts; the beginning of each is read.
        members: The rows of each cluster's texts, the most typical first; none is empty.
        others: The rows of texts in no cluster, to compare with.

    Raises:
        MissingExtraError: scikit-learn is not installed.

    Source: Grootendorst, "BERTopic: Neural topic modeling with a class-based TF-IDF procedure", arXiv:2203.05794.
    """
    try:
        from sklearn.feature_extraction.text import CountVectorizer
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "analysis") from error
    if not members:
        return []
    # Every text has the word "" too, since a vocabulary must not be empty; as frequent as that, it is passed over.
    vectorizer = CountVectorizer(analyzer=lambda text: ["", *words(text)], binary=True)
    found = vectorizer.fit_transform(texts[row] for rows in (*members, others) for row in rows)
    vocabulary = vectorizer.get_feature_names_out()
    in_all = np.bincount(found.indices, minlength=len(vocabulary))
    stops = np.cumsum([len(rows) for rows in members])
    mean_words = found[: stops[-1]].nnz / len(members)
    elsewhere = stops[-1] + len(others) - np.diff(stops, prepend=0)
    ranked = []
    for size, stop, rest in zip(map(len, members), stops, elsewhere, strict=True):
        columns, counts = np.unique(found[stop - size : stop].indices, return_counts=True)
        telling = counts / size * rest >= _CONTRAST * (in_all[columns] - counts)
        weights = counts / counts.sum() * np.log1p(mean_words / in_all[columns])
        order = np.argsort(-weights, kind="stable")
        ranked.append(_unlike(vocabulary[columns[place]] for place in order if telling[place] and rest))
    return _distinct(ranked, [excerpt(texts[rows[0]]) for rows in members])


def words(text: str) -> list[str]:
    """Return the words of a text in lower case: letters with their marks, digits after a letter, ``_`` in between.

    >>> words("The 2 parsers' get_token(), in हिन्दी and 日本語!")
    ['the', 'parsers', 'get_token', 'in', 'हिन्दी', 'and', '日本', '本語']
    """
    found: list[str] = []
    for unspaced, word in _pattern().findall(text[:_READ_CHARACTERS].lower()):
        if unspaced:
            found += [unspaced[place : place + 2] for place in range(max(1, len(unspaced) - 1))]
        elif 1 < len(word) <= _LONGEST_WORD:
            found.append(word)
    return found


def excerpt(text: str, width: int = _EXCERPT) -> str:
    r"""Return the beginning of a text on one line, without control characters.

    >>> excerpt("A first line\nand a second one, which is longer.", 24)
    'A first line and a…'
    """
    line = " ".join(_INVISIBLE.sub(" ", text).split())
    short = shorten(line, width, placeholder="…")
    return (short if short != "…" else f"{line[: width - 1]}…") or "(empty text)"


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    r"""Python's ``\w`` lacks the marks that are vowels in many scripts, and the joiners between letters."""
    marks = "".join(sign for sign in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(sign)[0] == "M")
    rest = rf"(?:[^\W_{_UNSPACED}]|[{marks}\u200c\u200d])"
    return re.compile(rf"([{_UNSPACED}]+)|([^\W\d_{_UNSPACED}]{rest}*(?:_+{rest}+)*)")


def _unlike(ranked: Iterator[str]) -> list[str]:
    """Return the first words, without those that begin as one before does, such as a plural."""
    kept: list[str] = []
    for word in ranked:
        if not any(_alike(word, one) for one in kept):
            kept.append(word)
        if len(kept) == _MOST_WORDS:
            break
    return kept


def _alike(word: str, other: str) -> bool:
    length = ceil(_ALIKE * min(len(word), len(other)))
    return word[:length] == other[:length]


def _distinct(ranked: Sequence[Sequence[str]], instead: Sequence[str]) -> list[str]:
    """Return the first words of each list, and more of them, or a number, where another has the same."""
    names: dict[str, None] = {}
    for found, beginning in zip(ranked, instead, strict=True):
        offered = [", ".join(found[: length + 1]) for length in range(len(found))][_NAME_WORDS - 1 :]
        offered = offered or [", ".join(found) or beginning]
        numbered = (f"{offered[-1]} ({number})" for number in count(2))
        names[next(name for name in chain(offered, numbered) if name not in names)] = None
    return list(names)
