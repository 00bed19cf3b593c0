"""The passages and queries of `scale.py`, with their vectors, kept in a folder so that they are embedded once."""

from __future__ import annotations

import ast
import itertools
import json
import random
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt
from limits import short_texts

from minilm_retrieval import MiniLMEmbedder

_WORDS = 25
_FEWEST_WORDS = 10
_CHUNK = 10_000


@dataclass(frozen=True)
class Corpus:
    """What is stored, and what is asked.

    Attributes:
        texts: Different passages.
        vectors: Theirs, float32 of shape ``(n, dimension)`` and unit length.
        queries: Vectors of the queries, likewise.
        tokens: Mean tokens of a passage.
    """

    texts: list[str]
    vectors: npt.NDArray[np.float32]
    queries: npt.NDArray[np.float32]
    tokens: float


def load_corpus(folder: Path, count: int, queries: int, embedder: MiniLMEmbedder) -> Corpus:
    """Return passages with their vectors: from the folder where it has them, otherwise embedded and kept there.

    Args:
        folder: Made if need be. Its files are named for the number of passages and the precision.
        count: How many passages.
        queries: How many queries: pieces of the Python language reference, of which no passage is made.
        embedder: Embeds both.

    Raises:
        SystemExit: The installed packages have too few different passages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts_file, vectors_file = folder / f"texts-{count}.json", folder / f"vectors-{count}-{embedder.precision}.npy"
    if not texts_file.exists():
        texts_file.write_text(json.dumps(passages(count)), encoding="utf-8")
    texts: list[str] = json.loads(texts_file.read_text(encoding="utf-8"))
    if not vectors_file.exists():
        parts = []
        for start in range(0, count, _CHUNK):
            parts.append(embedder.encode(texts[start : start + _CHUNK]))
            print(f"embedded {start + len(parts[-1])} of {count} passages", flush=True)
        np.save(vectors_file, np.concatenate(parts))
    asked = list(dict.fromkeys(itertools.islice(short_texts(2), 2 * queries)))[:queries]
    sample = texts[:_CHUNK]
    tokens = fmean(embedder.count_tokens(sample))
    return Corpus(texts, np.load(vectors_file), embedder.encode(asked), tokens)


def passages(count: int) -> list[str]:
    """Return so many different passages of 10 to 25 words, in no order.

    They are the documentation strings of the standard library and of the installed packages, cut every 25 words. Which
    there are depends on what is installed.

    Raises:
        SystemExit: There are too few.
    """
    found: dict[str, None] = {}
    for string in _documentation():
        words = string.split()
        for start in range(0, len(words) - _FEWEST_WORDS + 1, _WORDS):
            found[" ".join(words[start : start + _WORDS])] = None
    if len(found) < count:
        raise SystemExit(f"The installed packages give {len(found)} passages; {count} were asked for: --points fewer.")
    chosen = list(found)
    random.Random(0).shuffle(chosen)
    return chosen[:count]


def _documentation() -> Iterator[str]:
    library, packages = (Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib"))
    files = sorted(file for file in library.rglob("*.py") if "site-packages" not in file.parts)
    for file in [*files, *sorted(packages.rglob("*.py"))]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield ast.get_docstring(node) or ""
