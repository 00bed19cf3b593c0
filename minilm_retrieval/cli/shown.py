"""How texts and places are shown to people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LONGEST = 200


def place(id: str, metadata: Mapping[str, Any]) -> str:
    """Return where a text comes from: the file and the piece of it, for a passage that was indexed, or else its id."""
    source = metadata.get("source")
    if source is None:
        return id
    if "start" in metadata and "end" in metadata:
        return f"{source}  [characters {metadata['start']}-{metadata['end']}]"
    return str(source)


def shortened(text: str, longest: int = _LONGEST) -> str:
    """Return a text on one line, and only the beginning of a long one."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}\u2026"
