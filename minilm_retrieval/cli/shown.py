"""How texts and places are shown to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minilm_retrieval.analysis.labels import UNSHOWN, shortened

_OBEYED = {code: shown for code, shown in UNSHOWN.items() if code != ord("\t")}
_LONGEST = 200
_WIDEST_BESIDE = 16


def printable(line: str) -> str:
    r"""Return a line of somebody else's text without signs that a terminal would obey.

    >>> printable("a \x1b[2J\tb")
    'a  [2J\tb'
    """
    return line.translate(_OBEYED)


def place(id: str, metadata: Mapping[str, Any]) -> str:
    """Return where a text comes from: the file and the piece of it, for a passage that was indexed, or else its id."""
    source = metadata.get("source")
    if source is None:
        return printable(id)
    if "start" in metadata and "end" in metadata:
        source = f"{source}  [characters {metadata['start']}-{metadata['end']}]"
    return printable(str(source))


def file_size(file: str) -> str:
    """Return how large a file is, in a unit that suits it."""
    count = Path(file).stat().st_size
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"


def print_texts(rows: Sequence[tuple[str, str, str]]) -> None:
    """Print texts, each with what comes before it (a score) and its place, which may be empty.

    A text stands beside a short place, such as its number, but below a long one, such as the name of a file.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    margin = max((len(lead) for lead, _, _ in rows), default=0) + 2
    width = max((len(where) for _, where, _ in rows), default=0)
    for lead, where, text in rows:
        line = Text(lead.ljust(margin), style="bold").append(where, style="not bold cyan")
        if width:
            line.append(" " * (width - len(where) + 2) if width <= _WIDEST_BESIDE else "\n" + " " * (margin + 2))
        console.print(line.append(shortened(text, _LONGEST), style="not bold"), soft_wrap=True)
