"""LlamaIndex's metadata filters as Chroma's ``where``."""

from __future__ import annotations

from typing import Any

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilters

from minilm_retrieval.errors import InvalidFilterError

_OPERATORS = {
    FilterOperator.EQ: "$eq",
    FilterOperator.NE: "$ne",
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
    FilterOperator.IN: "$in",
    FilterOperator.NIN: "$nin",
}
_CONDITIONS = {FilterCondition.AND: "$and", FilterCondition.OR: "$or"}


def chroma_filter(filters: MetadataFilters | None) -> dict[str, Any] | None:
    """Translate filters, nested ones too; ``None`` where there is nothing to filter by.

    Raises:
        InvalidFilterError: They are none, or Chroma has no such operator or condition; the message names it.
    """
    if filters is None:
        return None
    if not isinstance(filters, MetadataFilters):
        raise InvalidFilterError(
            f"filters must be MetadataFilters, got {type(filters).__name__}. Write MetadataFilters(filters=[...]); "
            "Chroma's own filter is where=."
        )
    parts = [part for part in map(_translated, filters.filters) if part is not None]
    if len(parts) > 1 or filters.condition == FilterCondition.NOT:
        condition = filters.condition or FilterCondition.AND
        if condition not in _CONDITIONS:
            raise InvalidFilterError(f"Chroma has no condition {condition.value!r}; expected 'and' or 'or'.")
        return {_CONDITIONS[condition]: parts}
    # Chroma wants two members or more in a condition.
    return parts[0] if parts else None


def _translated(filter: Any) -> dict[str, Any] | None:
    if isinstance(filter, MetadataFilters):
        return chroma_filter(filter)
    if filter.operator not in _OPERATORS:
        offered = ", ".join(repr(operator.value) for operator in _OPERATORS)
        raise InvalidFilterError(f"Chroma has no operator {filter.operator.value!r}; expected one of {offered}.")
    return {filter.key: {_OPERATORS[filter.operator]: filter.value}}
