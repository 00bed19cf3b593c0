"""Which of a directory's files decide what its model computes, and whether they are still those that were read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

MODULES = "modules.json"

# Time of the last change in nanoseconds, size, inode; none for a file that is not there.
FileStamp = tuple[int, int, int] | None


@dataclass(frozen=True)
class Stamp:
    """The state of the files that decide what a model computes, at one time.

    Attributes:
        paths: The files, that of the weights first.
        states: As they were found.
    """

    paths: tuple[Path, ...]
    states: tuple[FileStamp, ...]

    @classmethod
    def of(cls, *paths: Path) -> Stamp:
        """Return the state of files now."""
        return cls(paths, tuple(map(_state, paths)))

    def with_more(self, *paths: Path) -> Stamp:
        """Return this together with the state of other files now."""
        more = Stamp.of(*paths)
        return Stamp(self.paths + more.paths, self.states + more.states)

    def is_current(self) -> bool:
        """Tell whether the files are as they were; where the weights are gone, there is nothing to read anew."""
        states = tuple(map(_state, self.paths))
        return states == self.states or states[0] is None

    def has_same_weights(self) -> bool:
        """Tell whether the weights are there as they were."""
        return self.states[0] is not None and _state(self.paths[0]) == self.states[0]


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


def _state(path: Path) -> FileStamp:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
