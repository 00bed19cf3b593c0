"""Texts as labels of pictures."""

from __future__ import annotations

import html
import textwrap

from rich.cells import cell_len

from minilm_retrieval.tokenizer import well_formed

LONGEST_NAME = 40
LONGEST_TITLE = 80
_LINE = 64
# Characters that are no letters, would break a line, or would turn the direction of what comes after.
UNSHOWN = dict.fromkeys((*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), " ")


def shortened(text: str, longest: int = LONGEST_NAME) -> str:
    r"""Return a text on one line, cut to a number of characters with an ellipsis, without what cannot be shown.

    >>> shortened("one\n two three", 9)
    'one two…'
    """
    line = " ".join(well_formed(text).translate(UNSHOWN).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "\u2026"


def plain(text: str) -> str:
    """Return a text such that plotly, which reads some HTML in labels, shows it as it is.

    >>> plain("a < b")
    'a &lt; b'
    """
    return html.escape(text, quote=False)


def wrapped(text: str) -> list[str]:
    """Return a shortened text in lines of about equal width, each as plotly shows it.

    Letters of double width, as of Chinese, count as two.
    """
    width = _LINE if text.isascii() else max(1, _LINE * len(text) // max(cell_len(text), 1))
    return [plain(line) for line in textwrap.wrap(text, width)]
