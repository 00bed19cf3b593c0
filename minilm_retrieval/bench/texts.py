"""The texts that are embedded: the language reference every Python carries, as sentences and passages.

Nothing is generated and no text occurs twice. The sets are the same on every run of one Python version; other versions
carry a slightly different reference, so token counts are measured and checked, not assumed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean

from minilm_retrieval.errors import BenchmarkError

# Mean tokens a text, [CLS] and [SEP] included, and how far a Python version's texts may be off.
MEAN_TOKENS = {"short": 14, "mixed": 100, "long": 241, "queries": 14}
_TOLERANCE = 0.1

_MAX_TOKENS = 256
_SPECIAL_TOKENS = 2
_SHORT_TOKENS = range(7, 19)
_LONGEST_SENTENCE = 100
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"“*(])")
_UNDERLINE = re.compile(r"[*=~^-]{4,}")


@dataclass(frozen=True)
class TextSet:
    """Texts of one length class.

    Attributes:
        name: ``"short"``, ``"mixed"``, ``"long"`` or ``"queries"``.
        texts: The texts, in no order of length.
        tokens: Tokens of each text, special tokens included.
    """

    name: str
    texts: list[str]
    tokens: list[int]

    @property
    def mean_tokens(self) -> float:
        """Mean tokens of a text."""
        return fmean(self.tokens)


@dataclass(frozen=True)
class _Piece:
    """Text, and its tokens without the special ones: those of sentences add up when the sentences are joined."""

    text: str
    tokens: int


def build_text_sets(count_tokens: Callable[[str], int], sizes: dict[str, int]) -> dict[str, TextSet]:
    """Cut the language reference into text sets.

    Args:
        count_tokens: Tokens of a text, special tokens included.
        sizes: How many texts each of ``short``, ``mixed``, ``long`` and ``queries`` shall have.

    Raises:
        BenchmarkError: This Python's reference has too few texts, or their mean length is not the promised one.
    """
    counted = (_Piece(sentence, count_tokens(sentence) - _SPECIAL_TOKENS) for sentence in _sentences())
    pieces = [piece for piece in counted if piece.tokens <= _LONGEST_SENTENCE]
    chance = random.Random(0)  # noqa: S311 - the same texts every time
    sentences = [piece for piece in pieces if piece.tokens + _SPECIAL_TOKENS in _SHORT_TOKENS]
    chance.shuffle(sentences)
    limits = _mixed_limits(sizes["mixed"])
    chance.shuffle(limits)
    sets = {
        "short": sentences[: sizes["short"]],
        # From the two ends of the reference, so that the passages of the two sets do not overlap.
        "mixed": list(_passages(reversed(pieces), limits)),
        "long": list(_passages(pieces, [_MAX_TOKENS] * sizes["long"])),
        "queries": sentences[sizes["short"] : sizes["short"] + sizes["queries"]],
    }
    return {name: _checked(name, chosen, sizes[name]) for name, chosen in sets.items()}


def _sentences() -> Iterator[str]:
    from pydoc_data.topics import topics

    seen = set()
    for name in sorted(topics):
        for paragraph in re.split(r"\n\s*\n", topics[name]):
            for sentence in _SENTENCE_END.split(" ".join(paragraph.split())):
                if sentence not in seen and _is_prose(sentence):
                    seen.add(sentence)
                    yield sentence


def _is_prose(sentence: str) -> bool:
    """Tell prose from headings, grammar, tables and examples of code."""
    words = sentence.split()
    plain = sum(word.strip("\"'“”*().,;:?!").isalpha() for word in words)
    return len(words) >= 4 and plain >= 0.7 * len(words) and not _UNDERLINE.search(sentence) and ">>>" not in sentence


def _mixed_limits(count: int) -> list[int]:
    """Return how long each mixed passage may get: from 12 tokens to the model's 256, shorter ones more often."""
    shares = ((number + 0.5) / count for number in range(count))
    return [round(12 + (_MAX_TOKENS - 12) * share**1.5) for share in shares]


def _passages(pieces: Iterable[_Piece], limits: Iterable[int]) -> Iterator[_Piece]:
    """Join sentences that follow one another, as many as fit each limit but one at least, as a splitter does."""
    remaining = iter(pieces)
    following = next(remaining, None)
    for limit in limits:
        passage: list[_Piece] = []
        room = limit - _SPECIAL_TOKENS
        while following and (not passage or following.tokens <= room):
            passage.append(following)
            room -= following.tokens
            following = next(remaining, None)
        if following is None:
            return
        yield _Piece(" ".join(piece.text for piece in passage), sum(piece.tokens for piece in passage))


def _checked(name: str, chosen: list[_Piece], size: int) -> TextSet:
    if len(chosen) < size:
        raise BenchmarkError(f"This Python's language reference has {len(chosen)} {name} texts; {size} were asked for.")
    texts = TextSet(name, [piece.text for piece in chosen], [piece.tokens + _SPECIAL_TOKENS for piece in chosen])
    if len(set(texts.texts)) < size:
        raise BenchmarkError(f"The {name} texts are not all different.")
    if abs(texts.mean_tokens / MEAN_TOKENS[name] - 1) > _TOLERANCE:
        raise BenchmarkError(
            f"The {name} texts have {texts.mean_tokens:.1f} tokens on average, not {MEAN_TOKENS[name]}."
        )
    return texts
