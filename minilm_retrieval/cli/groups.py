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
    # Not `get_type_hints`: where None is the default, that of Python 3.10 puts the annotation inside an `Optional`.
    given_to = signature(command, eval_str=True).parameters
    parameters: list[Parameter] = []
    for parameter in given_to.values():
        if is_dataclass(parameter.annotation):
            parameters += _options(parameter.annotation)
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))

    def run(**given: Any) -> None:
        command(**{name: _value(name, parameter.annotation, given) for name, parameter in given_to.items()})

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
