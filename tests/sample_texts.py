"""Real text of any length, and text that breaks programs."""

from __future__ import annotations

import random
import re
from functools import cache
from pydoc_data.topics import topics

HOSTILE_TEXTS = {
    "empty": "",
    "space": " ",
    "whitespace": " \t\r\n\x0b\x0c\u00a0\u2003\u3000 ",
    "null": "a\x00b",
    "control": "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "replacement": "\ufffd",
    "zero width": "zero\u200bwidth\u200djoiner\ufeff",
    "emoji": "I \u2764\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1eb\U0001f1f7",
    "right to left": "\u0645\u0631\u062d\u0628\u0627 \u202eabc\u202c \u05e9\u05dc\u05d5\u05dd",
    "combining": "e\u0301\u0301\u0301\u0301 Z\u0351\u036b\u0343a\u0363\u0369l\u0348\u035ago",
    "case": "\u0130stanbul STRASSE stra\u00dfe \u1e9e \u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3",
    "chinese": "\u6211\u5011\u662f\u5b78\u751f\uff0c\u4f60\u597d\u3002",
    "special tokens": "[CLS] one [SEP] two [PAD] [MASK] [UNK] ##ing",
    "private": "\ue000\U000f0000\U0010ffff\ufffe",
    "punctuation": "?!...---///\\\\\"\"''``{}[]()<>@#$%^&*~",
}


@cache
def _corpus() -> str:
    return "\n\n".join(topics[name] for name in sorted(topics))


def topic_texts(count: int, longest: int, seed: int = 0) -> list[str]:
    """Return different passages of Python's own documentation, of 1 to ``longest`` words, short ones more often."""
    corpus = _corpus()
    pieces = [match.span() for match in re.finditer(r"\w+|[^\w\s]", corpus)]
    chance = random.Random(seed)
    texts: dict[str, None] = {}
    while len(texts) < count:
        length = round(longest ** (chance.random() ** 2))
        start = chance.randrange(len(pieces) - length)
        texts[corpus[pieces[start][0] : pieces[start + length - 1][1]]] = None
    return list(texts)
