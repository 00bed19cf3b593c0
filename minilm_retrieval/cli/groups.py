"""Options that go together, listed once: a parameter that is a dataclass stands for all the options in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints


def ungrouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with the options of its groups in the place of the groups, as typer wants it.

    Args:
        command: Its parameters are options and arguments as typer has them, or dataclasses, whose fields are such or
            again dataclasses; the command is given an instance of each.
    """
    hints = get_type_hints(command, include_extras=True)
    names = list(signature(command).parameters)
    parameters: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        if is_dataclass(hints[name]):
            parameters += _options(hints[name])
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=Parameter.KEYWORD_ONLY))

    def run(**given: Any) -> None:
        command(**{name: _value(name, hints[name], given) for name in names})

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _options(group: Any) -> Iterator[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        if is_dataclass(hints[field.name]):
            yield from _options(hints[field.name])
        else:
            default = Parameter.empty if field.default is MISSING else field.default
            yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name])


def _value(name: str, kind: Any, given: Mapping[str, Any]) -> Any:
    if not is_dataclass(kind):
        return given[name]
    hints = get_type_hints(kind, include_extras=True)
    return kind(**{field.name: _value(field.name, hints[field.name], given) for field in fields(kind)})  # type: ignore[operator]
