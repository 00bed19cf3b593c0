"""Make truncation visible: one warning or error a call, however many texts were cut."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable

from minilm_retrieval.errors import InvalidOptionError, TextTooLongError, TruncationWarning

POLICIES = ("warn", "ignore", "error")
_NAMED = 5
# What stands between the engine and the code that gave the texts: this library, and the frameworks that call it.
_BETWEEN = frozenset(
    {
        "minilm_retrieval",
        "chroma_minilm",
        "langchain_minilm",
        "llama_index_minilm",
        "chromadb",
        "langchain_core",
        "llama_index",
        "llama_index_instrumentation",
        "asyncio",
        "concurrent",
    }
)


class TruncationLog:
    """Which texts of a call were longer than the model reads, and what to do about it."""

    def __init__(self, policy: str) -> None:
        self._policy = policy
        # A stream may have any number of them, so that all are counted and a few are remembered.
        self._count = 0
        self._first: list[tuple[int, int]] = []

    @classmethod
    def checked(cls, policy: str) -> TruncationLog:
        """Make a log, having checked the policy.

        Raises:
            InvalidOptionError: The policy is not one of ``"warn"``, ``"ignore"``, ``"error"``.
        """
        if policy not in POLICIES:
            raise InvalidOptionError(f"on_truncate={policy!r} is not offered; expected one of {', '.join(POLICIES)}.")
        return cls(policy)

    @property
    def policy(self) -> str:
        """What happens to over-long texts: ``"warn"``, ``"ignore"`` or ``"error"``."""
        return self._policy

    def new(self) -> TruncationLog:
        """Return an empty log of the same policy, for the next call."""
        return TruncationLog(self._policy)

    def add(self, positions: Iterable[int], tokens: int) -> None:
        """Note that the text at these positions of the call has so many tokens and was cut."""
        if self._policy == "ignore":
            return
        for position in positions:
            self._count += 1
            self._first = sorted([*self._first, (position, tokens)])[:_NAMED]

    def check(self, max_length: int, remedy: str = "pass on_truncate='warn' or 'ignore'") -> None:
        """Refuse what was noted, if the policy says so.

        Args:
            max_length: Most tokens that the model reads.
            remedy: What has the texts cut, for the message.

        Raises:
            TextTooLongError: The policy is ``"error"`` and something was noted.
        """
        if self._count and self._policy == "error":
            raise TextTooLongError(f"{self._summary(max_length)} Shorten or split them, or {remedy}.")

    def report(self, max_length: int) -> None:
        """Warn once about everything noted, pointing at the code that gave the texts."""
        if self._count and self._policy == "warn":
            warning = TruncationWarning(
                f"{self._summary(max_length)} Only their beginnings were embedded.",
                "Split them first, or pass on_truncate='ignore' or 'error'.",
            )
            warnings.warn(warning, stacklevel=caller_depth())

    def _summary(self, max_length: int) -> str:
        named = ", ".join(f"{position} ({tokens} tokens)" for position, tokens in self._first)
        rest = f" and {self._count - _NAMED} more" if self._count > _NAMED else ""
        count = f"{self._count} texts are" if self._count > 1 else "1 text is"
        return f"{count} longer than the model's {max_length} tokens, at position {named}{rest}."


def caller_depth() -> int:
    """Return the ``stacklevel`` at which a warning of the calling function points at the user's own code."""
    frame = sys._getframe(1)
    depth = 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _BETWEEN:
        frame = frame.f_back
        depth += 1
    return depth
