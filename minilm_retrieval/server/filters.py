"""OpenAI's attribute filters as Chroma's ``where``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

Scalar = StrictStr | StrictBool | StrictInt | StrictFloat


class Comparison(BaseModel):
    """One attribute compared with a value."""

    model_config = ConfigDict(title="ComparisonFilter")

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: Annotated[StrictStr, Field(min_length=1)]
    value: Scalar | list[Scalar]

    def where(self) -> dict[str, Any]:
        """Return this as Chroma writes it."""
        return {self.key: {f"${self.type}": self.value}}


class Compound(BaseModel):
    """Several filters, of which all or any must hold."""

    model_config = ConfigDict(title="CompoundFilter")

    type: Literal["and", "or"]
    filters: Annotated[list[AttributeFilter], Field(min_length=1, max_length=100)]

    def where(self) -> dict[str, Any]:
        """Return this as Chroma writes it, which wants two members or more."""
        if len(self.filters) == 1:
            return self.filters[0].where()
        return {f"${self.type}": [filter.where() for filter in self.filters]}


AttributeFilter = Annotated[Comparison | Compound, Field(discriminator="type")]
Compound.model_rebuild()
