"""Which points of a map get which colour: by a field of the metadata, or by cluster."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minilm_retrieval.analysis.clustering import UNCLUSTERED, Clustering
from minilm_retrieval.analysis.labels import shortened
from minilm_retrieval.analysis.texts import EmbeddedTexts, check_fields
from minilm_retrieval.rows import IntArray

# Bright enough for a dark page, dark enough for a light one; neighbours in the list are easy to tell apart.
COLORS = (
    *("#4269d0", "#efb118", "#ff725c", "#3ca951", "#a463f2", "#6cc5b0", "#ff8ab7", "#9c6b4e", "#97bbf5", "#c2185b"),
    *("#7f8f18", "#00838f", "#e8710a", "#5c6bc0", "#8bc34a", "#b39ddb", "#d4a373", "#2e7d6b", "#e53935", "#26c6da"),
)
GREY = "#9a9fa6"
# Viridis without its ends, which a dark or a light page would swallow.
SCALE = ("#463480", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#d8e219")
# A whole number that has few values is a class more often than a quantity.
_MOST_NUMBERS_AS_CLASSES = 12


@dataclass(frozen=True, eq=False)
class Group:
    """Points of one colour.

    Attributes:
        name: What they have in common, for the legend.
        color: As ``#rrggbb``.
        rows: Which they are.
    """

    name: str
    color: str
    rows: IntArray

    @property
    def grey(self) -> bool:
        """Whether it has no colour of its own."""
        return self.color == GREY


@dataclass(frozen=True, eq=False)
class Coloring:
    """The colours of all points.

    Attributes:
        title: What they stand for; empty if for nothing.
        groups: Each point is in one of them. The most frequent first, what has no colour of its own last.
        labels: Of each point: its own value, also where its group has those of many; empty for none.
        scale: Not ``None`` for numbers: shape ``(n,)``, float64, with not-a-number for points that have none; the
            first group then has a scale of colours in place of one.
    """

    title: str
    groups: list[Group]
    labels: list[str]
    scale: npt.NDArray[np.float64] | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """Numbers where the scale of colours begins and ends: all but the lowest and highest hundredth of the points.

        A single huge number would else leave one colour to all others.
        """
        low, high = (0.0, 1.0) if self.scale is None else np.nanquantile(self.scale, (0.01, 0.99))
        return float(low), float(high)


def one_color(count: int) -> Coloring:
    """Return the same colour for all points."""
    return Coloring("", [Group("texts", COLORS[0], np.arange(count))], [""] * count)


def color_by_cluster(clustering: Clustering) -> Coloring:
    """Return a colour for each of the largest clusters."""
    names = [cluster.name for cluster in clustering.clusters]
    labels = ["" if label == UNCLUSTERED else names[label] for label in clustering.labels]
    return _of_classes("cluster", labels, names, "in no cluster")


def color_by_field(texts: EmbeddedTexts, field: str) -> Coloring:
    """Return a colour for each of the most frequent values of a metadata field, or a scale of colours for numbers.

    Raises:
        InvalidOptionError: No text has such a field; the message lists those there are.
    """
    check_fields(texts.metadatas, [field])
    values = [metadata.get(field) for metadata in texts.metadatas]
    labels = [shown_value(value) for value in values]
    numbers = [_number(value) for value in values]
    if all(label == "" or not math.isnan(number) for label, number in zip(labels, numbers, strict=True)):
        if len(set(labels)) > _MOST_NUMBERS_AS_CLASSES:
            return _of_numbers(field, labels, numbers)
        classes = sorted(set(labels) - {""}, key=float)
    else:
        counts = Counter(label for label in labels if label)
        classes = sorted(counts, key=lambda label: (-counts[label], label))
    return _of_classes(field, labels, classes, f"no {field}")


def shown_value(value: Any) -> str:
    """Return a value of metadata as text; empty for what says nothing: ``None``, not-a-number, infinity."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, default=str)


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return math.nan
    try:
        number = float(value)
    except OverflowError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _of_numbers(title: str, labels: list[str], numbers: list[float]) -> Coloring:
    scale = np.array(numbers, dtype=np.float64)
    missing = np.isnan(scale)
    groups = [Group(title, "", np.flatnonzero(~missing))]
    if missing.any():
        groups.append(Group(f"no {title}", GREY, np.flatnonzero(missing)))
    return Coloring(title, groups, labels, scale)


def _of_classes(title: str, labels: list[str], classes: list[str], missing: str) -> Coloring:
    """Give the first classes colours; the others and the missing get grey, as far as there are any."""
    names = [shortened(name) for name in classes[: len(COLORS)]]
    more = len(classes) - len(names)
    place = {name: position for position, name in enumerate(classes)}
    places = np.array([min(place[label], len(COLORS)) if label else -1 for label in labels])
    groups = [Group(name, COLORS[k], np.flatnonzero(places == k)) for k, name in enumerate(names)]
    groups.append(Group(f"{more} others", GREY, np.flatnonzero(places == len(COLORS))))
    groups.append(Group(missing, GREY, np.flatnonzero(places == -1)))
    return Coloring(title, [group for group in groups if len(group.rows)], labels)
