"""The colours of a map's points, and the labels that name them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mapped import embedded

from minilm_retrieval.analysis import EmbeddedTexts, cluster_texts, map_texts
from minilm_retrieval.analysis.coloring import COLORS, GREY, Coloring, color_by_cluster, color_by_field
from minilm_retrieval.analysis.labels import shortened, wrapped
from minilm_retrieval.errors import InvalidOptionError

pytest.importorskip("sklearn")


def with_values(values: list[Any]) -> EmbeddedTexts:
    return embedded(["text"] * len(values), [{} if value is ... else {"field": value} for value in values])


def groups(coloring: Coloring) -> list[tuple[str, str, list[int]]]:
    return [(group.name, group.color, group.rows.tolist()) for group in coloring.groups]


def test_the_most_frequent_values_get_colours() -> None:
    coloring = color_by_field(with_values(["b", "a", ..., "b", "", "c", True]), "field")
    assert coloring.title == "field"
    assert groups(coloring) == [
        ("b", COLORS[0], [0, 3]),
        ("a", COLORS[1], [1]),
        ("c", COLORS[2], [5]),
        ("true", COLORS[3], [6]),
        ("no field", GREY, [2, 4]),
    ]
    assert coloring.labels == ["b", "a", "", "b", "", "c", "true"]
    assert coloring.scale is None


def test_values_beyond_the_colours_share_grey() -> None:
    values = [f"value {number:02}" for number in range(len(COLORS) + 5)]
    coloring = color_by_field(with_values([*values, *values[5:]]), "field")
    assert [group.name for group in coloring.groups] == [*values[5:], "5 others"]
    assert coloring.groups[-1].color == GREY
    assert coloring.groups[-1].rows.tolist() == [0, 1, 2, 3, 4]
    assert coloring.labels[:5] == values[:5], "each still says what it is"


def test_many_numbers_get_a_scale() -> None:
    coloring = color_by_field(with_values([*range(100), 1e300, 5.5, float("nan"), ..., None]), "field")
    assert coloring.scale is not None
    assert coloring.scale[:3].tolist() == [0, 1, 2]
    assert np.flatnonzero(np.isnan(coloring.scale)).tolist() == [102, 103, 104]
    assert [(group.name, len(group.rows)) for group in coloring.groups] == [("field", 102), ("no field", 3)]
    low, high = coloring.limits
    assert 0 < low < 2
    assert 97 < high < 1e301


def test_few_numbers_are_classes_in_order() -> None:
    coloring = color_by_field(with_values([10, 9.0, 9, 10, 10, 2.5]), "field")
    assert [(group.name, group.rows.tolist()) for group in coloring.groups] == [
        ("2.5", [5]),
        ("9", [1, 2]),
        ("10", [0, 3, 4]),
    ]


def test_values_of_any_type_are_classes() -> None:
    coloring = color_by_field(with_values([["a", "\u00e9"], {"k": 1}, 3, "3", " x\n y ", 10**400]), "field")
    assert coloring.labels == ['["a", "\u00e9"]', '{"k": 1}', "3", "3", "x y", "1" + "0" * 400]
    assert coloring.groups[0].rows.tolist() == [2, 3]


def test_an_unknown_field_is_an_error_that_lists_the_others() -> None:
    with pytest.raises(InvalidOptionError, match="No text has the metadata field 'topic'; there are: 'field'"):
        map_texts(with_values([1, 2, ...]), color_by="topic")
    with pytest.raises(InvalidOptionError, match="'topic'; there are: none"):
        map_texts(embedded(["a"]), hover=["topic"])


def test_clusters_are_named_and_those_in_none_are_grey() -> None:
    texts = embedded(["cats purr"] * 6 + ["stocks fall"] * 6 + ["alone"])
    texts.vectors[:6] = texts.vectors[0]
    texts.vectors[6:12] = texts.vectors[6]
    clustering = cluster_texts(texts, "communities", threshold=0.9, min_size=3)
    coloring = color_by_cluster(clustering)
    assert coloring.title == "cluster"
    assert [group.rows.tolist() for group in coloring.groups] == [list(range(6)), list(range(6, 12)), [12]]
    names = [cluster.name for cluster in clustering.clusters]
    assert [group.name for group in coloring.groups] == [*names, "in no cluster"]
    with pytest.raises(InvalidOptionError, match="of 13 texts, not of these 1"):
        map_texts(embedded(["a"]), clustering=clustering)
    with pytest.raises(InvalidOptionError, match="either color_by or clustering"):
        map_texts(texts, clustering=clustering, color_by="field")


def test_labels() -> None:
    assert shortened("a" * 50) == "a" * 39 + "\u2026"
    assert wrapped("a" * 100) == ["a" * 64, "a" * 36]
    assert wrapped("\u6211" * 40) == ["\u6211" * 32, "\u6211" * 8]
    assert wrapped("") == []
