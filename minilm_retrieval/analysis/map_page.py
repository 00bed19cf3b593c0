"""A map of texts as an interactive page: each point shows its text."""

from __future__ import annotations

import html
import textwrap
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from minilm_retrieval.analysis.coloring import SCALE, Group, shortened, shown_value
from minilm_retrieval.errors import MissingExtraError

if TYPE_CHECKING:
    from minilm_retrieval.analysis.text_map import TextMap

# What all texts of a page may have together, and each at least and at most, in characters.
_ALL_TEXTS = 16_000_000
_SHORTEST, _LONGEST = 120, 600
_LONGEST_VALUE = 100
_LINE = 64
# A browser draws so many as shapes, which are sharper and need no graphics processor.
_MOST_SHAPES = 3000
# Characters that would break a label's lines or turn their direction.
_UNSHOWN = dict.fromkeys((*range(32), *range(127, 160), *range(8234, 8239), *range(8294, 8298)), " ")
_SURROGATES = dict.fromkeys(range(55296, 57344), "�")


def check_plotly() -> None:
    """Check that plotly is there.

    Raises:
        MissingExtraError: It is not.
    """
    try:
        import plotly  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("plotly", "analysis") from error


def map_figure(drawn: TextMap) -> Any:
    """Return a map as a ``plotly.graph_objects.Figure``."""
    from plotly import graph_objects

    count = len(drawn.texts)
    trace_type = graph_objects.Scatter if count <= _MOST_SHAPES else graph_objects.Scattergl
    coloring = drawn.coloring
    # Grey lies below, and stands last in the legend.
    order = sorted(range(len(coloring.groups)), key=lambda place: coloring.groups[place].grey, reverse=True)
    figure = graph_objects.Figure()
    for place in order:
        figure.add_trace(trace_type(**_trace(drawn, coloring.groups[place], place)))
    hidden = {"visible": False, "zeroline": False, "showgrid": False}
    scaled = coloring.scale is not None
    figure.update_layout(
        title={
            "text": plain(drawn.title),
            "subtitle": {"text": plain(drawn.subtitle), "font": {"size": 13}},
            "x": 0,
            "xref": "paper",
            "font": {"size": 20},
        },
        font={"size": 13},
        margin={"l": 24, "r": 24, "t": 84, "b": 24},
        xaxis=hidden,
        yaxis={**hidden, "scaleanchor": "x"},
        dragmode="pan",
        hovermode="closest",
        hoverlabel={"align": "left"},
        showlegend=len(coloring.groups) > 1,
        legend={
            "title": {"text": "" if scaled else f"<b>{plain(coloring.title)}</b>", "font": {"size": 13}},
            "itemsizing": "constant",
            **({"orientation": "h", "y": -0.02} if scaled else {}),
        },
    )
    return figure


def _trace(drawn: TextMap, group: Group, place: int) -> dict[str, Any]:
    positions = drawn.positions[group.rows]
    marker: dict[str, Any] = {"size": drawn.point_size, "opacity": drawn.opacity, "line": {"width": 0}}
    by_scale = drawn.coloring.scale is not None and place == 0
    if drawn.coloring.scale is not None and by_scale:
        marker |= {
            "color": drawn.coloring.scale[group.rows],
            "colorscale": SCALE,
            "cmin": drawn.coloring.limits[0],
            "cmax": drawn.coloring.limits[1],
            "colorbar": {"title": {"text": plain(group.name)}, "thickness": 14, "outlinewidth": 0},
        }
    else:
        marker["color"] = group.color
    return {
        "x": positions[:, 0],
        "y": positions[:, 1],
        "mode": "markers",
        "marker": marker,
        "name": f"{plain(shortened(group.name))} ({len(group.rows):,})",
        "customdata": _labels(drawn, group),
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
        "legendrank": 1000 + place,
        "showlegend": not by_scale,
    }


def _labels(drawn: TextMap, group: Group) -> list[tuple[str, str]]:
    """Return for each point what stands in bold, and what below it."""
    texts, coloring = drawn.texts, drawn.coloring
    longest = min(max(_ALL_TEXTS // len(texts), _SHORTEST), _LONGEST)
    labels = []
    for row in group.rows.tolist():
        lines = wrapped(shortened(texts.texts[row], longest))
        fields = [(coloring.title, coloring.labels[row])] if coloring.labels[row] else []
        fields += [(name, shown_value(texts.metadatas[row].get(name))) for name in drawn.hover]
        lines += [f"<i>{plain(name)}: {plain(shortened(value, _LONGEST_VALUE))}</i>" for name, value in fields if value]
        labels.append((plain(shortened(texts.ids[row], _LONGEST_VALUE)), "<br>".join(lines)))
    return labels


def wrapped(text: str) -> list[str]:
    """Return a text in lines of about equal width, as plotly shows them.

    Letters of double width, as of Chinese, count as two.
    """
    width = max(1, int(_LINE * len(text) / max(cell_len(text), 1)))
    return [plain(line) for line in textwrap.wrap(text, width)]


def plain(text: str) -> str:
    """Return a text such that plotly, which reads some HTML in labels, shows it as it is."""
    return html.escape(text.translate(_UNSHOWN).translate(_SURROGATES), quote=False)
