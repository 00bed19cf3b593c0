"""Does an engine compute on this processor what it should? A few texts are embedded and compared.

That is done once for each runtime, processor, precision and model, when an engine is first compiled, and remembered in
a small file in the user's cache directory. The vectors of all-MiniLM-L6-v2 are pinned in ``golden.npy``, which
``tests/make_golden.py`` made with sentence-transformers; the reduced precision of another model is compared with its
own float32.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minilm_retrieval import __version__
from minilm_retrieval.batching import Batch, make_batches, single_batch
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import EngineError
from minilm_retrieval.model import STANDARD_CONFIG, Model
from minilm_retrieval.processor import processor_instructions, processor_name
from minilm_retrieval.similarity import cosine_or_zero

TEXTS = (
    "Hi",
    "Which function opens a file and reads it line by line?",
    "A retriever embeds the question and every passage with the same model, compares them by the cosine of the angle "
    "between their vectors, and answers with the nearest passages first; nothing is ranked a second time. "
    "Zahlen wie 3,14 oder 1.000, naïve words, and signs such as {}[]() belong to real texts too.",
)
MAX_TOKENS = 64
GOLDEN = Path(__file__).with_name("golden.npy")

# oneDNN's own setting that makes a processor do without some of its instructions.
_LIMIT = "ONEDNN_MAX_CPU_ISA"
# Far below what each precision reaches, and far above what a wrong computation gives.
LEAST_COSINE = {"float32": 0.99999, "bfloat16": 0.9995, "int8": 0.98}

Run = Callable[[Iterable[Batch]], Iterator[FloatArray]]


@dataclass(frozen=True)
class SelfCheck:
    """The check of one engine.

    Attributes:
        model: What it runs.
        precision: How it computes.
        runtime: What it computes with: library, version, device, and how the model was compiled.
        short_only: The engine takes nothing but a single short text.
    """

    model: Model
    precision: str
    runtime: str
    short_only: bool = False

    def passes(self, run: Run, float32: Callable[[], Run]) -> bool:
        """Tell whether the engine's vectors are right; the answer is remembered.

        Args:
            run: Embeds batches with the engine.
            float32: Makes an engine in float32, for models whose vectors are not pinned.
        """
        if not self._pinned and self.precision == "float32":
            return True
        known = _remembered().get(self._key)
        if known is not None:
            return known
        expected = self._pinned_vectors() if self._pinned else self.vectors(float32())
        passed = self._worst_cosine(run, expected) >= LEAST_COSINE[self.precision]
        _remember(self._key, passed)
        return passed

    def failure(self) -> str:
        """Say what failed, and how to have it tried again."""
        file = verdicts_file()
        again = f" To check again, delete {file}." if file else ""
        return (
            f"{self.runtime} in {self.precision} fails, or gives vectors on this processor ({processor_name()}) that "
            f"differ from those of {self.model.files.name} by more than rounding.{again}"
        )

    def _worst_cosine(self, run: Run, expected: FloatArray) -> float:
        try:
            return worst_cosine(self.vectors(run), expected)
        except EngineError:
            if self.precision == "float32":
                raise
            return -1.0

    def vectors(self, run: Run) -> FloatArray:
        """Embed the texts with the engine, together, and then the first one alone.

        Returns:
            Shape ``(texts + 1, dimension)``; for an engine that takes nothing else, the last of these rows.
        """
        length = min(MAX_TOKENS, self.model.config.max_positions)
        tokens = [self.model.tokenizer.tokenize(text, length).ids for text in TEXTS]
        (alone,) = run([single_batch(tokens[0], length)])
        if self.short_only:
            return alone[:1]
        # One batch, so that padding is part of what is checked.
        batch = next(make_batches(tokens, length * len(TEXTS), max_length=length))
        (together,) = run([batch])
        return np.concatenate([together[np.argsort(batch.positions)], alone[:1]])

    def _pinned_vectors(self) -> FloatArray:
        pinned: FloatArray = np.load(GOLDEN)
        return pinned[:1] if self.short_only else pinned[[*range(len(TEXTS)), 0]]

    @property
    def _pinned(self) -> bool:
        config = self.model.config
        return self.model.files.standard_weights and (config.pooling, config.lowercase) == (
            STANDARD_CONFIG.pooling,
            STANDARD_CONFIG.lowercase,
        )

    @property
    def _key(self) -> str:
        """Everything that the answer depends on: another release or another setting is checked anew."""
        processor = (platform.machine(), processor_name(), *processor_instructions(), os.environ.get(_LIMIT, ""))
        asked = hashlib.sha256(GOLDEN.read_bytes() + repr((TEXTS, LEAST_COSINE[self.precision])).encode())
        return "; ".join(
            (
                f"minilm-retrieval {__version__}",
                self.runtime,
                self.precision,
                " ".join(processor).strip(),
                self.model.fingerprint(MAX_TOKENS, normalize=True),
                asked.hexdigest()[:16],
            )
        )


def worst_cosine(vectors: FloatArray, expected: FloatArray) -> float:
    """Return the least cosine of vectors with those expected, of shape ``(n, dimension)`` both; -1 if not finite."""
    if not np.isfinite(vectors).all():
        return -1.0
    return min(float(cosine_or_zero(one, other[None])[0]) for one, other in zip(vectors, expected, strict=True))


def verdicts_file() -> Path | None:
    """Return where the answers are remembered, ``None`` for a user without a home."""
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(cache) / "minilm-retrieval" / "self-check.json"


def _remembered() -> dict[str, bool]:
    file = verdicts_file()
    # Whatever is wrong with the file, checking again costs little.
    with suppress(OSError, ValueError):
        found = json.loads(file.read_text(encoding="utf-8")) if file else None
        if isinstance(found, dict):
            return {key: verdict for key, verdict in found.items() if isinstance(verdict, bool)}
    return {}


def _remember(key: str, passed: bool) -> None:
    file = verdicts_file()
    if file is None:
        return
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        written = file.with_name(f"{file.name}.{os.getpid()}")
        try:
            written.write_text(json.dumps({**_remembered(), key: passed}, indent=1), encoding="utf-8")
            written.replace(file)
        finally:
            written.unlink(missing_ok=True)
