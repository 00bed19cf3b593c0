"""Names of clusters: from the words that set them apart, in any language, never twice the same."""

from __future__ import annotations

import numpy as np
import pytest
from sample_texts import HOSTILE_TEXTS

from minilm_retrieval.analysis.naming import cluster_names, excerpt, words

NOBODY = np.zeros(0, dtype=np.int64)


def names(*clusters: list[str], others: list[str] | None = None) -> list[str]:
    texts = [text for cluster in (*clusters, others or []) for text in cluster]
    stops = np.cumsum([len(cluster) for cluster in clusters])
    members = [np.arange(stop - len(cluster), stop) for cluster, stop in zip(clusters, stops, strict=True)]
    return cluster_names(texts, members, np.arange(stops[-1], len(texts)))


def test_the_words_that_set_a_cluster_apart() -> None:
    tea = ["The tea is hot.", "The green tea is in the cup.", "A cup of hot tea is the best."]
    cars = ["The car is fast.", "The red car has an engine.", "A fast car needs the engine."]
    assert names(tea, cars) == ["tea, cup, hot", "car, engine, fast"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            ["Der Hund schläft in dem Haus.", "Der Hund und die Katze in dem Haus."],
            ["Der Zug fährt in die Stadt.", "Der Zug ist in der Stadt."],
            ("dem, haus, hund", "stadt, zug, fährt"),
        ),
        (
            ["हिन्दी भाषा में पाठ है", "हिन्दी भाषा में लेख है"],
            ["रेल गाड़ी में लोग है", "रेल गाड़ी में भीड़ है"],
            ("भाषा, हिन्दी, पाठ", "गाड़ी, रेल, भीड़"),
        ),
        (
            ["我们喝绿茶", "绿茶很好"],
            ["我们坐火车", "火车很快"],
            ("绿茶, 们喝, 喝绿", "火车, 们坐, 坐火"),
        ),
        (["قطة صغيرة", "قطة كبيرة"], ["سيارة صغيرة", "سيارة كبيرة"], ("قطة", "سيارة")),
    ],
    ids=["german", "hindi", "chinese", "arabic"],
)
def test_any_language(first: list[str], second: list[str], expected: tuple[str, str]) -> None:
    assert names(first, second) == list(expected)


def test_texts_in_no_cluster_are_compared_with() -> None:
    assert names(["red tea"] * 3, others=["red wine"] * 3) == ["tea"]


def test_another_form_of_a_word_is_no_second_word() -> None:
    assert names(["a loop loops looping around"] * 2, ["nothing"] * 2)[0] == "around, loop"


def test_a_long_text_does_not_name_a_cluster() -> None:
    assert names(["tea zebra " + "zebra " * 100, "tea", "tea"], ["car"] * 3)[0].startswith("tea")


def test_alike_clusters_get_more_words_or_a_number() -> None:
    same = ["aa bb cc dd"] * 2
    other = ["xx"] * 20
    assert names(same, same, same, other)[:3] == ["aa, bb, cc", "aa, bb, cc, dd", "aa, bb, cc, dd (2)"]
    assert names(["1"], ["1"], ["1"]) == ["1", "1 (2)", "1 (3)"]


def test_without_words_the_first_text_is_the_name() -> None:
    assert names(["12 34", "56"], ["", " "]) == ["12 34", "(empty text)"]
    assert names(["A single cluster, of all the texts that there are in the world.", "b"]) == [
        "A single cluster, of all the texts that…"
    ]
    assert cluster_names(["a"], [], NOBODY) == []


def test_texts_that_break_programs() -> None:
    found = names(*([text, text] for text in HOSTILE_TEXTS.values()))
    assert len(set(found)) == len(HOSTILE_TEXTS)
    assert all(found)
    assert not any("\n" in name or "\x1b" in name for name in found)


def test_words_of_a_text() -> None:
    assert words("x 2 3d a2 café CAFE\u0301 don't __init__ get_it") == [
        "a2",
        "café",
        "cafe\u0301",
        "don",
        "init",
        "get_it",
    ]
    assert words("日 日本 日本語") == ["日", "日本", "日本", "本語"]
    assert words("x" * 31 + " " + "y" * 30) == ["y" * 30]
    assert words("") == []


def test_excerpt() -> None:
    assert excerpt("a\x1b[31m b\n\tc") == "a [31m b c"
    assert excerpt("x" * 50, 10) == "x" * 9 + "…"
    assert excerpt("one two three", 8) == "one two…"
    assert excerpt(" \n") == "(empty text)"
