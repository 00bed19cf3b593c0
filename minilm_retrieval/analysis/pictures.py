"""Pictures for people, as files that need nothing else."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import Any

from minilm_retrieval.errors import DocumentError

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
html, body {{ height: 100%; margin: 0; background: #ffffff; }}
@media (prefers-color-scheme: dark) {{ html, body {{ background: #15171a; }} }}
</style>
</head>
<body>
{figure}
</body>
</html>
"""
_CLEAR = "rgba(0,0,0,0)"
_INK = "#24292f"
_FONT = "system-ui, sans-serif"
_LAYOUT = {
    "template": "none",
    "paper_bgcolor": _CLEAR,
    "plot_bgcolor": _CLEAR,
    "font": {"family": _FONT, "color": _INK},
    "hoverlabel": {"bgcolor": "#ffffff", "font": {"family": _FONT, "color": _INK, "size": 13}},
    "modebar": {"bgcolor": _CLEAR, "color": "#8a9099", "activecolor": "#4269d0"},
}
_CONFIG = {
    "responsive": True,
    "scrollZoom": True,
    "displaylogo": False,
    # The button beside the others would send the texts to plotly's makers.
    "showSendToCloud": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}
# Plotly knows no dark mode: the page asks the browser, and again when the reader changes it.
_DARK_MODE = """
const dark = window.matchMedia('(prefers-color-scheme: dark)');
const paint = () => Plotly.relayout('{plot_id}', {
    'font.color': dark.matches ? '#e6e8eb' : '#24292f',
    'hoverlabel.bgcolor': dark.matches ? '#22262b' : '#ffffff',
    'hoverlabel.font.color': dark.matches ? '#e6e8eb' : '#24292f',
});
if (dark.matches) paint();
dark.addEventListener('change', paint);
"""


def save_page(figure: Any, file: str | os.PathLike[str]) -> None:
    """Write a plotly figure to an HTML file that holds all it needs, so that it opens with no network.

    The page is light or dark as its reader's browser is; a wheel or a pinch zooms.

    Args:
        figure: A ``plotly.graph_objects.Figure``, whose fonts and colours of text and paper are set here.
        file: Where to.

    Raises:
        DocumentError: The file cannot be written.
    """
    figure.update_layout(_LAYOUT)
    body = figure.to_html(include_plotlyjs=True, full_html=False, post_script=_DARK_MODE, config=_CONFIG)
    title = html.escape(html.unescape(figure.layout.title.text or "Picture"))
    write(file, _PAGE.format(title=title, figure=body).encode("utf-8", "replace"))


def write(file: str | os.PathLike[str], content: bytes) -> None:
    """Write a file.

    Raises:
        DocumentError: It cannot be written.
    """
    try:
        Path(file).write_bytes(content)
    except OSError as error:
        raise DocumentError(f"{os.fspath(file)} cannot be written: {error.strerror or error}") from error
