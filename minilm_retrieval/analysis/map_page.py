"""A map of texts as an interactive page: each point shows its text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minilm_retrieval.analysis.coloring import SCALE, Group, shown_value
from minilm_retrieval.analysis.labels import LONGEST_TITLE, plain, shortened, wrapped

if TYPE_CHECKING:
    from minilm_retrieval.analysis.text_map import TextMap

# What all texts of a page may have together, and each at least and at most, in characters.
_ALL_TEXTS = 16_000_000
_SHORTEST, _LONGEST = 120, 600
_LONGEST_VALUE = 100
# A browser draws so many as shapes, which are sharper and need no graphics processor.
_MOST_SHAPES = 3000


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
            "text": plain(shortened(drawn.title, LONGEST_TITLE)),
            "subtitle": {"text": plain(shortened(drawn.subtitle, LONGEST_TITLE)), "font": {"size": 13}},
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
            "title": {"text": "" if scaled else f"<b>{plain(shortened(coloring.title))}</b>", "font": {"size": 13}},
            "itemsizing": "constant",
            **({"orientation": "h", "y": -0.02} if scaled else {}),
        },
    )
    return figure


def _trace(drawn: TextMap, group: Group, place: int) -> dict[str, Any]:
    positions = drawn.positions[group.rows]
    marker: dict[str, Any] = {"size": drawn.point_size, "opacity": drawn.opacity, "line": {"width": 0}}
    scale = drawn.coloring.scale if place == 0 else None
    if scale is not None:
        marker |= {
            "color": scale[group.rows],
            "colorscale": SCALE,
            "cmin": drawn.coloring.limits[0],
            "cmax": drawn.coloring.limits[1],
            "colorbar": {"title": {"text": plain(shortened(group.name))}, "thickness": 14, "outlinewidth": 0},
        }
    else:
        marker["color"] = group.color
    return {
        "x": positions[:, 0],
        "y": positions[:, 1],
        "mode": "markers",
        "marker": marker,
        "name": f"{plain(shortened(group.name))} ({len(group.rows):,})",
        "customdata": np.array(_labels(drawn, group), dtype=object),
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
        "legendrank": 1000 + place,
        "showlegend": scale is None,
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
        lines += [
            f"<i>{plain(shortened(name))}: {plain(shortened(value, _LONGEST_VALUE))}</i>"
            for name, value in fields
            if value
        ]
        labels.append((plain(shortened(texts.ids[row], _LONGEST_VALUE)), "<br>".join(lines)))
    return labels
