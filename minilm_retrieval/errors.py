"""Every error this library raises on purpose.

All derive from :class:`MiniLMError`, and each also derives from the builtin exception that fits, so that
``except ValueError`` keeps working for callers who do not know this module.
"""

from __future__ import annotations


class MiniLMError(Exception):
    """Base of all errors of this library."""


class Advised:
    """Beside an exception's class: a message that ends with what can be done about it from Python.

    Attributes:
        fact: The message without that.
        advice: That alone, perhaps nothing.
    """

    def __init__(self, fact: str = "", advice: str = "") -> None:
        super().__init__(f"{fact} {advice}" if advice else fact)  # type: ignore[call-arg]
        self.fact = fact
        self.advice = advice


class InvalidTextError(MiniLMError, TypeError):
    """Something other than text was given where text is needed; the message names position and type."""


class InvalidOptionError(MiniLMError, ValueError):
    """An argument or option has a value outside what is offered; the message lists what is."""


class TextTooLongError(MiniLMError, ValueError):
    """A text exceeds the model's length and ``on_truncate="error"`` forbids cutting it."""


class TruncationWarning(Advised, UserWarning):
    """Some texts of a call were longer than the model's length, and only their beginnings were embedded."""


class DifferingVectorsWarning(UserWarning):
    """A collection's vectors come from the same model, but are not those this embedder gives for the same texts."""


class PrecisionWarning(UserWarning):
    """Vectors are computed in another precision than was asked for, or compared with those of another."""


class SplittingWarning(UserWarning):
    """Documents are split in another way than those that the collection holds."""


class RestartWarning(UserWarning):
    """Work of an interrupted call does not fit what is asked now; it was thrown away and is done anew."""


class ModelNotFoundError(MiniLMError, FileNotFoundError):
    """The model's files are nowhere on this machine and could not be downloaded."""


class ModelIntegrityError(MiniLMError, ValueError):
    """A model file is truncated or is not the published one; it was not loaded."""


class ModelUnreadableError(MiniLMError, OSError):
    """The system does not let a model's file or folder be read; the message says which one and why."""


class UnsupportedModelError(MiniLMError, ValueError):
    """The files describe a model that this library cannot run faithfully."""


class EngineError(MiniLMError, RuntimeError):
    """An engine failed, or gave something that is not a vector."""


class BenchmarkError(MiniLMError, RuntimeError):
    """Something cannot be measured: a measuring process failed, or this Python carries too few texts."""


class MissingExtraError(MiniLMError, ImportError):
    """An optional dependency is not installed; the message gives the command that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is needed for this and is not installed. "
            f'Install it with: pip install "minilm-retrieval[{extra}]"'
        )
        self.package = package
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        # An exception is otherwise made anew of its message alone, as when a worker process sends it.
        return type(self), (self.package, self.extra)


class CollectionNotFoundError(Advised, MiniLMError, LookupError):
    """No collection of that name exists in the store."""


class CollectionMismatchError(MiniLMError, ValueError):
    """The collection's vectors cannot be compared with this embedder's."""


class StoreError(MiniLMError, OSError):
    """The store cannot be opened or reached."""


class DatabaseNotFoundError(StoreError):
    """The store has no database, or no tenant, of that name."""


class StoreUnavailableError(StoreError):
    """The store's server gave no answer within the time that it was given; later it may."""


class StoreLockedError(StoreError):
    """Another process, or another call in this one, is writing to the same local directory; the message says which."""


class InvalidFilterError(MiniLMError, ValueError):
    """The store refused a ``where`` or ``where_document`` filter."""


class DocumentError(MiniLMError, ValueError):
    """A document cannot be read or indexed as it is; the message says which one and why."""


class TransferError(MiniLMError, ValueError):
    """A file with an exported collection cannot be written, read, or taken into a collection; the message says why."""


class ClusterError(MiniLMError, RuntimeError):
    """A Ray cluster cannot be reached or has no place for a worker, or work on it failed."""
