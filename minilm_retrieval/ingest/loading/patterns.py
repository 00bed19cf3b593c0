"""Patterns for file names, as in ``.gitignore``: those a caller gives, and those that lie in the folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec, PathSpec, Pattern

from minilm_retrieval.errors import DocumentError, InvalidOptionError
from minilm_retrieval.ingest.loading.names import one_line, printable

_IGNORE_FILE = ".gitignore"
_REPOSITORY = ".git"
# The group in pathspec's expressions that matches the separator after a folder whose contents match with it.
_END_OF_FOLDER = "ps_d"
_CONTENTS = re.compile(r"/\*\*$")
_ANY_FOLDER = re.compile(r"^(!?)\*\*?/$")


def compiled(option: str, patterns: Sequence[str]) -> PathSpec[Pattern]:
    """Compile patterns that a caller gave; the last that matches a path decides.

    Raises:
        InvalidOptionError: A pattern is not valid, or says nothing; the message names it and the option.
    """
    for pattern in patterns:
        if not any(rule.include is not None for rule in _rules(pattern)):
            raise InvalidOptionError(
                f"{option} has the pattern {pattern!r}, which matches nothing; "
                "patterns are written as in .gitignore, such as '*.py' or 'src/**/*.txt'."
            )
    return PathSpec(GitIgnoreSpec.from_lines(patterns).patterns)


def hidden_names(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the parts of patterns that begin with a dot: hidden entries are matched by these alone, as in a shell."""
    return tuple(part for pattern in patterns for part in pattern.lstrip("!").split("/") if part.startswith("."))


@dataclass(frozen=True)
class IgnoreRules:
    """What the ``.gitignore`` files of a folder and of those above it leave out.

    Attributes:
        files: For each file the folder it lies in, with a separator at its end, and its rules; the deepest last.
    """

    files: tuple[tuple[str, Sequence[Pattern]], ...] = ()

    @classmethod
    def above(cls, folder: str) -> IgnoreRules:
        """Return the rules that hold in a folder because of those above it, up to the root of its repository.

        A folder that they leave out altogether is free of them, so that it can be read by naming it.

        Args:
            folder: Absolute path without symbolic links.

        Raises:
            DocumentError: A ``.gitignore`` file cannot be read.
        """
        lineage = [Path(folder), *Path(folder).parents]
        depth = next((number for number, above in enumerate(lineage) if Path(above, _REPOSITORY).exists()), 0)
        rules = cls()
        for parent in reversed(lineage[1 : depth + 1]):
            rules = rules.within(str(parent))
        return cls() if rules.ignores(folder, is_folder=True) else rules

    def within(self, folder: str) -> IgnoreRules:
        """Return the rules that hold in a folder, given that these hold in the one above it.

        Raises:
            DocumentError: Its ``.gitignore`` file cannot be read, so nobody knows what is to be left out.
        """
        file = Path(folder, _IGNORE_FILE)
        if not file.is_file():
            return self
        try:
            content = file.read_bytes()
        except OSError as error:
            raise DocumentError(f"{printable(str(file))} cannot be read: {one_line(error)}") from error
        lines = os.fsdecode(content.removeprefix(b"\xef\xbb\xbf")).split("\n")
        rules = [rule for line in lines for rule in _rules(line.rstrip("\r"))]
        return IgnoreRules((*self.files, (str(Path(folder, "_"))[:-1], rules)))

    def ignores(self, path: str, is_folder: bool) -> bool:
        """Tell whether a file or folder is left out; the deepest file that says anything of it decides."""
        name = f"{path}/" if is_folder else path
        for base, rules in reversed(self.files):
            relative = name.removeprefix(base)
            for rule in reversed(rules):
                if rule.include is not None and _matches(rule, relative):
                    return rule.include
        return False


def _matches(rule: Pattern, name: str) -> bool:
    """Tell whether a rule matches an entry itself, and not only a folder that it is in: that was looked at before."""
    found = rule.match_file(name)
    if found is None:
        return False
    mark = found.match.groupdict().get(_END_OF_FOLDER)
    return mark is None or found.match.end(_END_OF_FOLDER) == len(name)


def _rules(line: str) -> Sequence[Pattern]:
    """Return the rule that a line of a ``.gitignore`` file gives; none if it is not valid."""
    # To Git the first is all that is in a folder, to pathspec the folder too; of the second it does not say which
    # folder of a path it matched.
    plain = _ANY_FOLDER.sub(r"\1?*/", _CONTENTS.sub("/**/*", line))
    try:
        return GitIgnoreSpec.from_lines([plain]).patterns
    except (ValueError, re.error):
        return ()
