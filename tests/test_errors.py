from __future__ import annotations

import inspect
import pickle

import pytest

from minilm_retrieval import errors

BUILTINS = {
    "InvalidTextError": TypeError,
    "InvalidOptionError": ValueError,
    "TextTooLongError": ValueError,
    "ModelNotFoundError": FileNotFoundError,
    "ModelIntegrityError": ValueError,
    "ModelUnreadableError": OSError,
    "UnsupportedModelError": ValueError,
    "EngineError": RuntimeError,
    "MissingExtraError": ImportError,
    "ClusterError": RuntimeError,
    "CollectionNotFoundError": LookupError,
    "CollectionMismatchError": ValueError,
    "StoreError": OSError,
    "StoreUnavailableError": OSError,
    "DatabaseNotFoundError": OSError,
    "InvalidFilterError": ValueError,
    "DocumentError": ValueError,
    "TransferError": ValueError,
}
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]


@pytest.mark.parametrize(("name", "builtin"), BUILTINS.items())
def test_each_error_is_also_the_builtin_that_fits(name: str, builtin: type[Exception]) -> None:
    error = getattr(errors, name)
    assert issubclass(error, builtin)
    assert issubclass(error, errors.MiniLMError)


def test_every_error_of_the_module_is_a_minilm_error() -> None:
    assert {kind.__name__ for kind in KINDS} >= set(BUILTINS)
    outside = [kind.__name__ for kind in KINDS if not issubclass(kind, (errors.MiniLMError, Warning))]
    assert outside == []


@pytest.mark.parametrize("name", [name for name in BUILTINS if name != "MissingExtraError"])
def test_the_message_is_what_was_given(name: str) -> None:
    assert str(getattr(errors, name)("what was expected, and what to do")) == "what was expected, and what to do"


def test_missing_extra_names_the_install_command() -> None:
    error = errors.MissingExtraError("chromadb", "chroma")
    assert 'pip install "minilm-retrieval[chroma]"' in str(error)
    assert str(error).startswith("chromadb is needed")
    assert (error.package, error.extra) == ("chromadb", "chroma")


ARGUMENTS = {"MissingExtraError": ("chromadb", "chroma")}


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_whole_out_of_another_process(kind: type[Exception]) -> None:
    """``multiprocessing`` waits for ever for one that cannot be read back."""
    given = [ARGUMENTS.get(kind.__name__, ("what was expected",))]
    if issubclass(kind, errors.Advised):
        given.append(("what was expected", "what to do"))
    for arguments in given:
        error = kind(*arguments)
        found = pickle.loads(pickle.dumps(error))
        assert (type(found), str(found), vars(found)) == (kind, str(error), vars(error))


def test_truncation_warning_is_shown_by_default() -> None:
    assert issubclass(errors.TruncationWarning, UserWarning)
    assert not issubclass(errors.TruncationWarning, (DeprecationWarning, ImportWarning, ResourceWarning))
