"""Which of a directory's files decide what its model computes."""

from __future__ import annotations

import json
from pathlib import Path

MODULES = "modules.json"


def pooling_files(directory: Path) -> list[str]:
    """Return the names of the files with the pooling's settings, none if ``modules.json`` cannot be read."""
    try:
        modules = json.loads((directory / MODULES).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    return [
        f"{module.get('path', '')}/config.json"
        for module in (modules if isinstance(modules, list) else [])
        if isinstance(module, dict) and str(module.get("type", "")).endswith(".Pooling")
    ]
