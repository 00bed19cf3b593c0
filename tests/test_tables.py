"""Tables that are written as they come: CSV and JSONL."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from minilm_retrieval.analysis.tables import TABLES, save_table
from minilm_retrieval.errors import DocumentError, InvalidOptionError
from minilm_retrieval.output_files import check_output

FIELDS = ("score", "text")
ROWS = [(0.5, 'a "quoted", text\nof two lines'), (1.0, "\u4f60\u597d \U0001f600"), (-0.25, "")]


def test_csv(tmp_path: Path) -> None:
    save_table(tmp_path / "a.csv", FIELDS, iter(ROWS))
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream)) == [list(FIELDS), *([str(score), text] for score, text in ROWS)]


def test_jsonl(tmp_path: Path) -> None:
    save_table(tmp_path / "a.JSONL", FIELDS, iter(ROWS))
    lines = (tmp_path / "a.JSONL").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [dict(zip(FIELDS, row, strict=True)) for row in ROWS]
    assert "\u4f60" in lines[1]


def test_no_rows(tmp_path: Path) -> None:
    for name, content in (("a.csv", "score,text\n"), ("a.jsonl", "")):
        save_table(tmp_path / name, FIELDS, [])
        assert (tmp_path / name).read_text() == content


def test_what_is_no_letter_is_replaced(tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl"):
        save_table(tmp_path / name, ["text"], [["a \ud800 b"]])
        assert "a ? b" in (tmp_path / name).read_text(encoding="utf-8")


def test_rows_are_written_as_they_come(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"

    def rows() -> Iterator[tuple[int, str]]:
        for number in range(3000):
            if number == 2999:
                (unfinished,) = tmp_path.iterdir()
                assert unfinished.stat().st_size > 100_000
            yield number, "x" * 60

    save_table(file, FIELDS, rows())
    assert len(file.read_text().splitlines()) == 3000


@pytest.mark.parametrize("name", ["a.txt", "a", "a.csv.gz", ".csv"])
def test_another_kind_of_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidOptionError, match=r"end in \.csv or \.jsonl"):
        check_output(tmp_path / name, TABLES)


def test_a_place_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no directory"):
        check_output(tmp_path / "missing" / "a.csv", TABLES)
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DocumentError, match="is a directory"):
        save_table(tmp_path / "a.csv", FIELDS, ROWS)


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    (tmp_path / "a.csv").symlink_to("/dev/full")
    with pytest.raises(DocumentError, match="No space left"):
        save_table(tmp_path / "a.csv", FIELDS, ROWS)
