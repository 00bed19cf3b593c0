"""Folders of text files, and what is read from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minilm_retrieval.ingest import Document, Failure, Skipped, load_documents


def fill(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"text of {name}\n")
    return root


def ignore(folder: Path, *lines: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("\n".join(lines) + "\n")


def load(*paths: Path | str, **options: Any) -> list[Document | Failure | Skipped]:
    return list(load_documents(paths, **options))


def read(root: Path, *paths: Path | str, **options: Any) -> list[str]:
    """Names of the files that are read, below a folder; nothing may fail."""
    found = load(*(paths or (root,)), **options)
    assert not [item for item in found if isinstance(item, Failure)]
    return [Path(item.id).relative_to(root).as_posix() for item in found if isinstance(item, Document)]
