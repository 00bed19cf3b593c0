from __future__ import annotations

import pytest

from minilm_retrieval.ingest.passage_ids import PassageId, source_digest, version_digest
from minilm_retrieval.ingest.stored import is_whole

VERSION = version_digest("a version")


def ids(count: int, *numbers: int, version: str = VERSION) -> set[str]:
    return {str(PassageId(source_digest("d"), version, number, count)) for number in numbers}


def test_an_id_is_read_back() -> None:
    passage = PassageId(source_digest("d"), VERSION, 3, 10)
    assert PassageId.parse(str(passage)) == passage
    assert source_digest("d") != source_digest("e")


@pytest.mark.parametrize(
    "id",
    [
        "",
        "x",
        "minilm-",
        f"minilm-{'0' * 20}-{'0' * 24}-5-5",
        f"minilm-{'0' * 19}-{'0' * 24}-0-1",
        f"minilm-{'0' * 32}",
    ],
)
def test_ids_of_others_are_not_taken_for_ours(id: str) -> None:
    assert PassageId.parse(id) is None


def test_only_all_passages_of_one_version_are_a_whole() -> None:
    assert is_whole(ids(3, 0, 1, 2), VERSION)
    for broken in (
        set(),
        ids(3, 0, 2),
        ids(3, 0, 1, 2) | ids(1, 0, version=version_digest("older")),
        ids(3, 0, 1, 2) | ids(4, 3),
        ids(2, 0, 1, version=version_digest("older")),
        ids(2, 0) | ids(3, 1),
    ):
        assert not is_whole(broken, VERSION)
