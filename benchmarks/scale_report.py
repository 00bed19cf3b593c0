"""The tables and the plot of `scale.py`, in docs/scale/."""

from __future__ import annotations

import csv
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from scale_store import READERS, WIDER, Point

FOLDER = Path(__file__).parents[1] / "docs" / "scale"
_BLUE, _ORANGE, _GREY = "#3b6fb6", "#d9772b", "#6b7280"


def write_points(points: list[Point]) -> None:
    """Write the table and the plot."""
    write_table("store", [asdict(point) for point in points])
    plot(points)


def write_table(name: str, rows: list[dict[str, Any]]) -> None:
    """Write rows as CSV, numbers with four significant digits."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _written(value) for key, value in row.items()} for row in rows)


def read_points() -> list[Point]:
    """Return what the table holds."""
    with (FOLDER / "store.csv").open(newline="", encoding="utf-8") as file:
        return [Point(*(_number(row[field.name]) for field in fields(Point))) for row in csv.DictReader(file)]  # type: ignore[arg-type]


def plot(points: list[Point]) -> None:
    """Draw what grows with the collection, as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.hashsalt": "scale", "svg.fonttype": "none", "font.size": 9})
    mpl.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    figure = Figure(figsize=(9, 6), layout="constrained")
    writing, sizes, times, recalls = figure.subplots(2, 2).flat
    _draw(writing, points, "Writes, passages a second", [("write_rate", "one writer, 1,000 at a time", _BLUE)])
    _draw(sizes, points, "Size, MB", [("disk_mb", "directory", _BLUE), ("memory_mb", "server's memory", _ORANGE)])
    curves = [
        ("p99_16", f"{READERS} readers, p99", _ORANGE),
        ("p50_16", f"{READERS} readers, p50", _ORANGE),
        ("retriever_p50", "Retriever, one reader, p50", _GREY),
        ("p99_1", "one reader, p99", _BLUE),
        ("p50_1", "one reader, p50", _BLUE),
    ]
    _draw(times, points, "A query, ms", curves)
    times.set_yscale("log")
    times.set_ylim(1, 5000)
    finds = [("recall_200", f"ef_search {WIDER}", _ORANGE), ("recall", "ef_search 100, the default", _BLUE)]
    _draw(recalls, points, "Recall@10 of Chroma's index", finds)
    recalls.set_ylim(min(0.9, min(point.recall for point in points) - 0.02), 1.002)
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / "store.svg", metadata={"Date": None})


def _draw(axes: Any, points: list[Point], title: str, curves: list[tuple[str, str, str]]) -> None:
    thousands = [point.passages / 1000 for point in points]
    for name, label, color in curves:
        style = "--" if name.startswith("p99") else "-"
        axes.plot(
            thousands, [getattr(point, name) for point in points], style, marker="o", ms=3, color=color, label=label
        )
    axes.set_title(title, loc="left")
    axes.set_xlabel("thousand passages stored")
    axes.set_xlim(0)
    axes.set_ylim(0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)


def _written(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)
