"""What all commands have in common as commands."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand


class Command(TyperCommand):
    """Refuses options that are empty, as ``--path "$STORE"`` is where nobody has set that variable."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Do so once their values are known; arguments, which are texts in some commands, may be empty."""
        left = super().parse_args(ctx, args)
        parameter: Any
        for parameter in self.params:
            value = ctx.params.get(parameter.name)
            if parameter.param_type_name == "option" and (
                value == "" or (isinstance(value, (list, tuple)) and "" in value)
            ):
                raise typer.BadParameter("it is empty. Give a value, or leave the option out.", ctx, parameter)
        return left
