"""Judged data and models without a network, for the tests of evaluation."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

WORDS = ["cat", "dog", "train", "loop", "error", "paper", "snow", "onion", "guitar", "market", "orbit", "leaf", "soup"]


class WordEncoder:
    """A model without a model: a text's vector is the sum of its words', with some noise of the text's own."""

    def __init__(self, noise: float = 0.0, dimension: int = 24) -> None:
        self.noise = noise
        self.dimension = dimension
        self.calls: list[int] = []

    def encode(self, texts: list[str]) -> Any:
        self.calls.append(len(texts))
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Any:
        parts = [self._random(word) for word in text.lower().split()] or [np.zeros(self.dimension)]
        return np.sum(parts, axis=0) + self.noise * self._random(f"noise of {text}")

    def _random(self, seed: str) -> Any:
        return np.random.default_rng(zlib.crc32(seed.encode())).standard_normal(self.dimension)


def texts(count: int, seed: int, length: int = 4) -> list[str]:
    words = np.random.default_rng(seed).choice(WORDS, (count, length))
    return [" ".join(row) for row in words]


def write_pairs(file: Path, count: int = 60) -> Path:
    """Write pairs of texts; the score is how many words they share, with something added to some."""
    rows = ["score\tsentence1\tsentence2"]
    for number, (one, other) in enumerate(zip(texts(count, 1), texts(count, 2), strict=True)):
        shared = len(set(one.split()) & set(other.split()))
        rows.append(f"{shared + 0.5 * (number % 3):.3f}\t{one}\t{other}")
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


def write_lines(file: Path, records: list[Any]) -> None:
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def write_judgements(file: Path, judgements: Mapping[str, Mapping[str, Any]]) -> None:
    rows = [
        f"{query}\t{document}\t{grade}" for query, grades in judgements.items() for document, grade in grades.items()
    ]
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n", encoding="utf-8")


def write_collection(folder: Path, documents: int = 120, queries: int = 20) -> Path:
    """Write a collection in BEIR's layout; documents that share two words with a query answer it, with three better."""
    folder.mkdir()
    corpus = texts(documents, 3, 6)
    asked = texts(queries, 4, 3)
    write_lines(
        folder / "corpus.jsonl",
        [
            {"_id": f"d{number}", "title": text.split()[0], "text": text.partition(" ")[2]}
            for number, text in enumerate(corpus)
        ],
    )
    write_lines(folder / "queries.jsonl", [{"_id": f"q{number}", "text": text} for number, text in enumerate(asked)])
    judgements: dict[str, dict[str, int]] = {}
    for row, query in enumerate(asked[:-1]):
        for number, text in enumerate(corpus):
            shared = len(set(query.split()) & set(text.split()))
            if shared > 1:
                judgements.setdefault(f"q{row}", {})[f"d{number}"] = shared - 1
    write_judgements(folder / "qrels" / "test.tsv", judgements)
    return folder
