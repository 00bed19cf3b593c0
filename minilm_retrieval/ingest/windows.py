"""Split very long lines in time that grows with their length, and not with its square.

For each passage, the splitter counts the tokens of all that is left of a line, so a very long one is given to it in
windows. It finds passages from the beginning on, so those of a window are those of the whole, but for the last, which
the cut may have shortened: with it the next window begins. Of Markdown, whose signs may span a cut, some passages end
elsewhere.
"""

from __future__ import annotations

import re
from typing import Any

IN_WINDOWS = "in windows"
"""What tells versions of a document that is split in windows from earlier ones, which were not."""
# Lines of documents that people write are shorter, and go to the splitter as they are.
_LONG_LINE = 20_000
_WINDOW = 8_000
_LINE = re.compile(r"[^\r\n]+")


def split_in_windows(splitter: Any, text: str) -> list[tuple[int, str]]:
    """Return what ``splitter.chunk_indices(text)`` does: each passage with its place in the text.

    Args:
        splitter: Of :mod:`semantic_text_splitter`.
        text: Of any length, with lines of any length.
    """
    passages: list[tuple[int, str]] = []
    start, size = 0, _WINDOW
    while (end := _cut(text, start, size)) is not None:
        found = splitter.chunk_indices(text[start:end])
        if len(found) == 1:
            # It may go on behind the cut, wherever that is.
            size *= 2
            continue
        passages += [(start + place, passage) for place, passage in found[:-1]]
        start, size = start + found[-1][0] if found else end, _WINDOW
    return passages + [(start + place, passage) for place, passage in splitter.chunk_indices(text[start:])]


def has_long_line(text: str) -> bool:
    """Tell whether a text is split in windows."""
    return _cut(text, 0, _WINDOW) is not None


def _cut(text: str, start: int, size: int) -> int | None:
    """Return where a window ends that begins at 0 or within a long line; ``None`` if at the end of the text."""
    for line in _LINE.finditer(text, start):
        within = 0 < start == line.start()
        if line.end() - line.start() > (size if within else max(size, _LONG_LINE)):
            return line.start() + size
    return None
