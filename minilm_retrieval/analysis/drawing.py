"""Figures of matplotlib as picture files, on any machine."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minilm_retrieval.analysis.pictures import write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 160
_MARGIN_INCHES = 0.2
# What a machine may have for scripts that the first lacks, in this order.
_FONTS = (
    *("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans Arabic", "Noto Sans Hebrew"),
    *("Noto Sans Devanagari", "Noto Sans", "WenQuanYi Zen Hei", "Arial Unicode MS", "Microsoft YaHei", "PingFang SC"),
)
_SETTINGS = {"axes.unicode_minus": False, "svg.fonttype": "path", "text.parse_math": False}


def save_picture(draw: Callable[[], Figure], file: str | os.PathLike[str]) -> None:
    """Draw a figure into a file of the format that its name ends in; needs no display.

    Args:
        draw: Makes the figure, with the fonts of this machine.
        file: Where to.

    Raises:
        DocumentError: The file cannot be written.
    """
    import matplotlib
    from matplotlib.font_manager import fontManager

    there = set(fontManager.get_font_names())
    settings: Any = {**_SETTINGS, "font.family": [name for name in _FONTS if name in there] or ["sans-serif"]}
    content = io.BytesIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # What no font here can write is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        format = Path(file).suffix.lower().removeprefix(".")
        # Long labels make the picture larger, in place of being cut.
        draw().savefig(content, format=format, dpi=_DOTS_PER_INCH, bbox_inches="tight", pad_inches=_MARGIN_INCHES)
    write(file, content.getvalue())
