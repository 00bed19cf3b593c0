"""A map of texts as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minilm_retrieval.analysis.coloring import SCALE
from minilm_retrieval.analysis.labels import LONGEST_TITLE, shortened
from minilm_retrieval.engines.engine import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from minilm_retrieval.analysis.text_map import TextMap

_INCHES = 12.0
# About what the legend leaves of the width, and what the title needs of the height.
_MAP_INCHES = 8.5
_TITLE_INCHES = 1.5
_HEIGHTS = (6.0, 11.0)
# Pixels of a page are 1/96 inch, points of a picture 1/72.
_POINTS_PER_PIXEL = 0.75
_LONGEST_LABEL = 32
_MOST_FOR_MIDDLE = 500
_INK = "#24292f"
_FAINT = "#6b7280"


def map_drawing(drawn: TextMap) -> Figure:
    """Return a map as a matplotlib figure."""
    from matplotlib.figure import Figure

    width, height = np.ptp(drawn.positions, axis=0) if len(drawn.texts) else (1, 1)
    tall = np.clip(_MAP_INCHES * height / max(width, 1e-9) + _TITLE_INCHES, *_HEIGHTS)
    figure = Figure(figsize=(_INCHES, tall), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title(shortened(drawn.title, LONGEST_TITLE), loc="left", fontsize=18, color=_INK, pad=28)
    subtitle = shortened(drawn.subtitle, LONGEST_TITLE)
    axes.annotate(subtitle, (0, 1), (0, 10), "axes fraction", "offset points", fontsize=11, color=_FAINT)
    _draw_points(drawn, axes, figure)
    return figure


def _draw_points(drawn: TextMap, axes: Axes, figure: Figure) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.lines import Line2D

    keys = []
    scale = drawn.coloring.scale
    for place, group in enumerate(drawn.coloring.groups):
        by_scale = scale is not None and place == 0
        points = axes.scatter(
            drawn.positions[group.rows, 0],
            drawn.positions[group.rows, 1],
            s=(drawn.point_size * _POINTS_PER_PIXEL) ** 2,
            c=scale[group.rows] if scale is not None and by_scale else group.color,
            cmap=LinearSegmentedColormap.from_list("", SCALE) if by_scale else None,
            vmin=drawn.coloring.limits[0] if by_scale else None,
            vmax=drawn.coloring.limits[1] if by_scale else None,
            alpha=drawn.opacity,
            linewidths=0,
            zorder=1 if group.grey else 2,
            rasterized=True,
        )
        if by_scale:
            bar: Any = figure.colorbar(points, ax=axes, shrink=0.5, aspect=30, extend="both")
            bar.set_label(shortened(group.name), color=_INK)
            bar.outline.set_visible(False)
            bar.solids.set_alpha(1)
        else:
            label = f"{shortened(group.name)} ({len(group.rows):,})"
            keys.append(Line2D([], [], linestyle="", marker="o", color=group.color, markeredgewidth=0, label=label))
    if len(drawn.coloring.groups) > 1:
        legend = figure.legend(
            handles=keys,
            loc="outside right upper",
            title=shortened(drawn.coloring.title),
            alignment="left",
            frameon=False,
            handlelength=1,
            labelcolor=_INK,
        )
        legend.get_title().set(color=_INK, fontweight="bold")
        if scale is None:
            _name_groups(drawn, axes, figure)


def _name_groups(drawn: TextMap, axes: Axes, figure: Figure) -> None:
    """Write the names of the groups where most of their points are, the largest first, as far as there is room."""
    from matplotlib.patheffects import withStroke

    # First everything else finds its place, which these then leave as it is.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    taken: list[Any] = []
    for group in drawn.coloring.groups:
        if group.grey:
            continue
        text = axes.annotate(
            shortened(group.name, _LONGEST_LABEL),
            _middle(drawn.positions[group.rows]),
            (0, 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8.5,
            fontweight="bold",
            color=_INK,
            zorder=3,
            path_effects=[withStroke(linewidth=2.5, foreground="white", alpha=0.85)],
        )
        box = text.get_window_extent()
        if any(box.overlaps(other) for other in taken):
            text.remove()
        else:
            taken.append(box)


def _middle(positions: FloatArray) -> tuple[float, float]:
    """Return the position with the least median distance to all others: one where most of them are."""
    some = positions[:: len(positions) // _MOST_FOR_MIDDLE + 1]
    distances = np.linalg.norm(some[:, None] - some[None], axis=2)
    x, y = some[np.median(distances, axis=1).argmin()]
    return float(x), float(y)
