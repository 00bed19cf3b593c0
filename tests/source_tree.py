"""A tree of real files: sources of the standard library, their documentation strings, and the language reference."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from pydoc_data.topics import topics


def write_tree(folder: Path, count: int) -> list[Path]:
    """Write so many files, half of them sources (the smallest there are) and half of them prose; return them."""
    files = []
    sources = islice(_sources(), count // 2)
    for name, text in [*sources, *islice(_prose(), count - count // 2)]:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        files.append(file)
    assert len(files) == count
    return files


def _sources() -> Iterator[tuple[str, str]]:
    for file in _modules():
        yield f"sources/{file.relative_to(_library())}", file.read_text(encoding="utf-8", errors="replace")


def _prose() -> Iterator[tuple[str, str]]:
    for topic, text in sorted(topics.items()):
        yield f"topics/{topic}.rst", text
    for file in _modules():
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                name = getattr(node, "name", "module")
                place = file.relative_to(_library()).with_suffix("")
                yield f"strings/{place}/{name}-{getattr(node, 'lineno', 0)}.txt", text


def _modules() -> list[Path]:
    files = [file for file in _library().rglob("*.py") if "site-packages" not in file.parts]
    return sorted((file for file in files if file.stat().st_size), key=lambda file: (file.stat().st_size, str(file)))


def _library() -> Path:
    return Path(sysconfig.get_path("stdlib"))
