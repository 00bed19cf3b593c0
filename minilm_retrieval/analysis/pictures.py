"""Pictures for people, as files that need nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from minilm_retrieval.errors import DocumentError


def save_page(figure: Any, file: str | os.PathLike[str]) -> None:
    """Write a plotly figure to an HTML file that holds all it needs, so that it opens with no network.

    Raises:
        DocumentError: The file cannot be written.
    """
    page = figure.to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False, "responsive": True})
    try:
        Path(file).write_text(page, encoding="utf-8")
    except OSError as error:
        raise DocumentError(f"{os.fspath(file)} cannot be written: {error}") from error
