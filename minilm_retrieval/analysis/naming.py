"""A name for each cluster, from the words that its texts have and others lack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def cluster_names(texts: Sequence[str], members: Sequence[npt.NDArray[np.int64]]) -> list[str]:
    """Return a name for each cluster."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import normalize

    if not members:
        return []
    vectorizer = CountVectorizer(stop_words="english")
    counts = vectorizer.fit_transform(" ".join(texts[row] for row in rows) for rows in members)
    words = vectorizer.get_feature_names_out()
    overall = np.asarray(counts.sum(axis=0)).ravel()
    weights = normalize(counts, norm="l1").multiply(np.log1p(counts.sum() / len(members) / overall)).tocsr()
    return [
        ", ".join(words[place] for place in np.argsort(-weights[row].toarray().ravel(), kind="stable")[:3])
        for row in range(len(members))
    ]
