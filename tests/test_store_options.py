"""Options of a store: of the function, of the commands, of the service; what is refused, and what is not shown."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from typer.testing import CliRunner

from minilm_retrieval.cli.main import app
from minilm_retrieval.cli.options import Store
from minilm_retrieval.cli.serve import _stores
from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.store.client import connect


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "h", "timeout": 0},
        {"host": "h", "timeout": float("nan")},
        {"host": "h", "retry_for": -1},
        {"path": "p", "timeout": 3},
        {"path": "p", "retry_for": 3},
        {"path": "p", "api_key": "k"},
        {"host": "h", "headers": {"Authorization": "two\nlines"}},
        {"host": "h", "headers": {"no colon:": "x"}},
        {"host": "h", "api_key": "two words"},
    ],
)
def test_options_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError):
        connect(**wrong)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"host": "h"}, {"host": "h", "port": None, "ssl": False, "headers": {}}),
        (
            {"host": "h", "port": 1, "ssl": True, "header": ["A: b:c"], "timeout": 2.0, "retry_for": 0.0},
            {"port": 1, "ssl": True, "headers": {"A": "b:c"}, "timeout": 2.0, "retry_for": 0.0},
        ),
        ({"path": "p", "tenant": "t", "database": "d"}, {"path": "p", "tenant": "t", "database": "d"}),
        ({}, {"path": "./chroma", "tenant": None, "database": None}),
    ],
)
def test_the_commands_options_are_the_functions(options: dict[str, Any], expected: dict[str, Any]) -> None:
    place = Store(**options).arguments()
    assert place.items() >= expected.items()
    assert set(place) <= set(inspect.signature(connect).parameters)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "p", "host": "h"}, "not several"),
        ({"host": "h", "cloud": True}, "not several"),
        ({"path": "p", "retry_for": 0.0}, "--retry-for go with --host"),
        ({"timeout": 1.0}, "--timeout"),
        ({"cloud": True}, "CHROMA_API_KEY"),
    ],
)
def test_options_that_do_not_go_together(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHROMA_API_KEY", raising=False)
    with pytest.raises(InvalidOptionError, match=message):
        Store(**options).arguments()


def test_no_message_shows_what_a_header_says() -> None:
    for header in ("Authorization Bearer SECRET", "Authorization: SECR\u00c9T", "Authorization: SECRET\nSECRET"):
        answer = CliRunner().invoke(app, ["search", "cats", "--host", "h", "--header", header])
        assert answer.exit_code == 2
        assert "SECR" not in answer.stderr


def test_a_service_does_not_wait_for_a_store_beyond_its_own_limit() -> None:
    for given, most, expected in (({}, 300.0, (60, 10)), ({}, 5.0, (5, 5)), ({"timeout": 7.0}, 30.0, (7, 10))):
        place = _stores(Store(host="h", **given), most).keywords
        assert (place["timeout"], place["retry_for"]) == expected
