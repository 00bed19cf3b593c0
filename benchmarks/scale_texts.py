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
        tokens: Mean tokens of a passage, over the first 10,000.
    """

    texts: list[str]
    vectors: npt.NDArray[np.float32]
    queries: npt.NDArray[np.float32]
    tokens: float


def load_corpus(folder: Path, count: int, queries: int, embedder: MiniLMEmbedder) -> Corpus:
    """Return passages with their vectors: from the folder where it has them, otherwise embedded and kept there.

    Args:
        folder: Made if need be. It keeps what it has, whatever is installed later.
        count: How many passages.
        queries: How many queries: pieces of the Python language reference, of which no passage is made.
        embedder: Embeds both.

    Raises:
        SystemExit: The installed packages have too few different passages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts_file, vectors_file = folder / "passages.json", folder / f"vectors-{embedder.precision}.npy"
    texts: list[str] = json.loads(texts_file.read_text(encoding="utf-8")) if texts_file.exists() else []
    if len(texts) < count:
        texts = passages(count)
        texts_file.write_text(json.dumps(texts), encoding="utf-8")
        # With other packages installed since then, they would be those of other texts.
        for stale in folder.glob("vectors-*.npy"):
            stale.unlink()
    vectors = np.load(vectors_file) if vectors_file.exists() else np.zeros((0, embedder.dimension), np.float32)
    parts = [vectors]
    for start in range(len(vectors), count, _CHUNK):
        parts.append(embedder.encode(texts[start : min(start + _CHUNK, count)]))
        print(f"embedded {start + len(parts[-1])} of {count} passages", flush=True)
    if len(parts) > 1:
        np.save(vectors_file, np.concatenate(parts))
    texts, vectors = texts[:count], np.concatenate(parts)[:count]
    asked = list(dict.fromkeys(itertools.islice(short_texts(2), 2 * queries)))[:queries]
    tokens = fmean(embedder.count_tokens(texts[:_CHUNK]))
    return Corpus(texts, vectors, embedder.encode(asked), tokens)


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
