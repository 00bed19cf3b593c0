"""A parameter that is a dataclass stands for the options in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from minilm_retrieval.cli.groups import ungrouped

Limit = Annotated[int | None, typer.Option("--limit", "-l")]
Count = Annotated[int, typer.Option("--count", "-n")]


@dataclass(frozen=True)
class Inner:
    host: Annotated[str | None, typer.Option()] = None
    secure: Annotated[bool, typer.Option("--secure")] = False


@dataclass(frozen=True)
class Outer:
    name: Annotated[str, typer.Argument()]
    inner: Inner = Inner()
    count: Count = 3


@dataclass(frozen=True)
class Changed(Outer):
    name: Annotated[str, typer.Option("--name")] = "nobody"


def run(group: Any, *arguments: str) -> Any:
    taken: list[Any] = []

    def command(*, loud: Annotated[bool, typer.Option("--loud")] = False, outer: Any) -> None:
        """Say something."""
        taken.extend((loud, outer))

    command.__annotations__["outer"] = group
    app = typer.Typer()
    app.command()(ungrouped(command))
    result = CliRunner().invoke(app, list(arguments))
    return taken if result.exit_code == 0 else result.output


def test_options_reach_the_group_they_are_of() -> None:
    given = ("me", "--host", "here", "--secure", "-n", "5", "--loud")
    assert run(Outer, *given) == [True, Outer("me", Inner("here", True), 5)]


def test_defaults_are_those_of_the_groups() -> None:
    assert run(Outer, "me") == [False, Outer("me", Inner(None, False), 3)]


def test_an_option_beside_the_groups_keeps_its_names_where_none_is_its_default() -> None:
    taken: list[Any] = []

    def command(texts: Annotated[list[str] | None, typer.Argument()] = None, limit: Limit = None) -> None:
        taken.extend((texts, limit))

    app = typer.Typer()
    app.command()(ungrouped(command))
    assert CliRunner().invoke(app, ["a", "b", "-l", "5"]).exit_code == 0
    assert taken == [["a", "b"], 5]


def test_a_group_may_change_an_option_of_another() -> None:
    assert run(Changed) == [False, Changed("nobody")]
    assert run(Changed, "--name", "me") == [False, Changed("me")]


@pytest.mark.parametrize(("arguments", "said"), [((), "Missing argument"), (("me", "--what"), "No such option")])
def test_mistakes_are_told_as_for_any_command(arguments: tuple[str, ...], said: str) -> None:
    assert said in run(Outer, *arguments)


def test_name_and_help_stay() -> None:
    def command(*, outer: Outer) -> None:
        """Say something."""

    found = ungrouped(command)
    assert (found.__name__, found.__doc__) == ("command", "Say something.")
