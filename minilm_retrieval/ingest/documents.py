"""What is indexed, and what is said of sources that are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Document:
    """A text to index.

    Attributes:
        id: Names the source; indexing a document of the same id again replaces it.
        text: The whole text, of any length.
        metadata: Stored with every passage.
        format: Decides where the text is split: ``"markdown"`` at headings and blocks, ``"text"`` at paragraphs and
            sentences.
    """

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    format: Literal["text", "markdown"] = "text"


@dataclass(frozen=True)
class Failure:
    """A source that could not be read or indexed, and why.

    Attributes:
        source: Id of a document, or absolute path of a file or folder; a folder stands for all that is in it.
        reason: One line.
    """

    source: str
    reason: str


@dataclass(frozen=True)
class Skipped:
    """A file that was passed over on purpose, and why: another file type, or binary.

    Attributes:
        source: Absolute path.
        reason: One line.
    """

    source: str
    reason: str
