"""The similarities of all texts with all, as a picture."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from minilm_retrieval.analysis.coloring import SCALE
from minilm_retrieval.analysis.drawing import save_picture
from minilm_retrieval.analysis.labels import LONGEST_TITLE, plain, shortened, wrapped
from minilm_retrieval.analysis.pictures import check_picture_file, is_page, save_page
from minilm_retrieval.analysis.texts import EmbeddedTexts
from minilm_retrieval.engines.engine import FloatArray
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.similarity import similarity_blocks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST = 1000
# Up to so many texts have their words beside the rows, and up to so many their similarities in the cells.
_MOST_NAMED = 40
_MOST_NUMBERED = 14
_LONGEST_TEXT = 300
# Of a cell, and of the whole.
_INCHES_NUMBERED, _INCHES_NAMED = 0.6, 0.34
_SIDES = 4.0, 10.0
_INK = "#24292f"
# Where numbers are written on dark cells, and on light ones.
_LIGHT_INK, _DARK_FROM = "#ffffff", 0.6


def check_heatmap(file: str | os.PathLike[str], count: int = 0) -> None:
    """Check before long work that a heat map can be drawn.

    Args:
        file: Where to.
        count: Of how many texts, if that is known.

    Raises:
        As :func:`save_heatmap`, but that the file may turn out not to be writable.
    """
    check_picture_file(file)
    if count > LARGEST:
        raise InvalidOptionError(
            f"A heat map shows at most {LARGEST:,} texts, got {count:,}. Take fewer, or write the numbers to a file."
        )


def save_heatmap(texts: EmbeddedTexts, file: str | os.PathLike[str], title: str = "Similarity") -> None:
    """Draw the cosine similarity of every text with every other, in the order of the texts.

    A page (.html) needs no network and shows the two texts and their similarity under the mouse. A picture (.png, .svg,
    .pdf) names the texts if they are at most forty.

    Args:
        texts: At most 1,000.
        file: Its name's end decides the format.
        title: Stands above.

    Raises:
        InvalidOptionError: The name ends in something else, or there are more texts.
        DocumentError: The file cannot be written.
        MissingExtraError: plotly or matplotlib is not installed.
    """
    check_heatmap(file, len(texts))
    blocks = list(similarity_blocks(texts.vectors))
    matrix = np.concatenate(blocks) if blocks else np.zeros((0, 0), dtype=np.float32)
    if is_page(file):
        save_page(_page(texts, matrix, title), file)
    else:
        save_picture(lambda: _figure(texts, matrix, title), file)


def _page(texts: EmbeddedTexts, matrix: FloatArray, title: str) -> Any:
    from plotly import graph_objects

    count = len(texts)
    labels = [
        f"<b>{plain(shortened(id))}</b> {'<br>'.join(wrapped(shortened(text, _LONGEST_TEXT)))}"
        for id, text in zip(texts.ids, texts.texts, strict=True)
    ]
    # The name of a place on an axis is shown under the mouse too: with many texts, each is in the page but twice.
    axis: dict[str, Any] = {"tickvals": np.arange(count), "ticktext": labels, "showticklabels": False, "ticks": ""}
    axis |= {"showgrid": False, "zeroline": False, "constrain": "domain"}
    rows = {**axis, "autorange": "reversed", "scaleanchor": "x"}
    cells: dict[str, Any] = {"hovertemplate": "<b>%{z:.4f}</b><br>%{y}<br>%{x}<extra></extra>"}
    if count <= _MOST_NAMED:
        rows |= {"ticktext": list(map(plain, map(shortened, texts.texts))), "showticklabels": True, "automargin": True}
        cells["customdata"] = [[label] * count for label in labels]
        cells["hovertemplate"] = cells["hovertemplate"].replace("%{y}", "%{customdata}")
    figure = graph_objects.Figure(
        graph_objects.Heatmap(
            z=matrix,
            zmin=_lowest(matrix),
            zmax=1.0,
            colorscale=list(SCALE),
            colorbar={"thickness": 14, "outlinewidth": 0, "title": {"text": "cosine similarity", "side": "right"}},
            **cells,
        )
    )
    figure.update_layout(
        title={"text": plain(shortened(title, LONGEST_TITLE)), "x": 0, "xref": "paper", "font": {"size": 20}},
        font={"size": 13},
        margin={"l": 24, "r": 24, "t": 64, "b": 24},
        xaxis=axis,
        yaxis=rows,
        hoverlabel={"align": "left"},
        dragmode="pan",
    )
    return figure


def _figure(texts: EmbeddedTexts, matrix: FloatArray, title: str) -> Figure:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    count = len(texts)
    cell = _INCHES_NUMBERED if count <= _MOST_NUMBERED else _INCHES_NAMED
    side = float(np.clip(cell * count, *_SIDES))
    figure = Figure(figsize=(side, side))
    axes = figure.add_subplot()
    lowest = _lowest(matrix)
    image = axes.imshow(
        matrix, cmap=LinearSegmentedColormap.from_list("", SCALE), vmin=lowest, vmax=1.0, interpolation="nearest"
    )
    # As high as the matrix.
    bar: Any = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.04, label="cosine similarity")
    bar.outline.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9, labelcolor=_INK)
    axes.set_title(shortened(title, LONGEST_TITLE), loc="left", fontsize=16, color=_INK, pad=12)
    if count <= _MOST_NAMED:
        axes.set_yticks(range(count), list(map(shortened, texts.texts)))
    else:
        axes.set_yticks([])
    axes.set_xticks([])
    if count <= _MOST_NUMBERED:
        for (row, column), score in np.ndenumerate(matrix):
            light = score - lowest < _DARK_FROM * (1.0 - lowest)
            axes.text(
                column, row, f"{score:.2f}", ha="center", va="center", fontsize=8, color=_LIGHT_INK if light else _INK
            )
    return figure


def _lowest(matrix: FloatArray) -> float:
    """Return where the colours begin: at 0, or at the lowest similarity if that is less."""
    return min(0.0, float(matrix.min(initial=0.0)))
