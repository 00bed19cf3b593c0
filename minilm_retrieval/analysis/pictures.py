"""Pictures for people, as files that need nothing else."""

from __future__ import annotations

import html
import importlib
import os
from pathlib import Path
from typing import Any

from minilm_retrieval.errors import DocumentError, MissingExtraError
from minilm_retrieval.output_files import check_output
from minilm_retrieval.whole_files import whole_file

PAGES = (".html", ".htm")
PICTURES = (".png", ".svg", ".pdf")
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


def is_page(file: str | os.PathLike[str]) -> bool:
    """Tell whether a file's name ends in ``.html``, so that it gets an interactive page and no picture."""
    return Path(file).suffix.lower() in PAGES


def check_picture_file(file: str | os.PathLike[str]) -> None:
    """Check before long work that a page or a picture can be written to a file.

    Raises:
        InvalidOptionError: The name ends in something else than those of pages and pictures do.
        DocumentError: Its directory does not exist, or it is a directory itself.
        MissingExtraError: plotly or matplotlib is not installed.
    """
    check_output(file, PAGES + PICTURES)
    package = "plotly" if is_page(file) else "matplotlib"
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, "analysis") from error


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
        DocumentError: It cannot be written; a file of that name is as it was.
    """
    try:
        with whole_file(file) as unfinished:
            unfinished.write_bytes(content)
    except OSError as error:
        raise DocumentError(f"{os.fspath(file)} cannot be written: {error.strerror or error}") from error
