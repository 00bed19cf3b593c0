"""What can be wrong with a collection, collected with a bounded number of examples."""

from __future__ import annotations

import heapq
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from minilm_retrieval.embedder import DEFAULTS, MiniLMEmbedder
from minilm_retrieval.store.stored_function import stored_function

if TYPE_CHECKING:
    from chromadb import Collection

_EXAMPLES = 10

CHECKS = {
    "count": "the count is that of the ids",
    "dimension": "vectors have the model's dimension",
    "not-finite": "every number of every vector is finite",
    "not-unit": "every vector has unit length",
    "fingerprint": "the recorded embedding function is this one",
    "vector": "sampled vectors are those of their texts",
    "missing": "every indexed source is whole",
    "orphan": "every passage belongs to a current source",
    "offsets": "the places of passages fit their texts",
    "index": "the index is readable and knows the stored records",
    "self-hit": "sampled vectors find their own records first",
    "recall": "the index finds the neighbours that exact search finds",
}
"""Each kind of fault, in the order of a report, and what holds where there is none."""

# In remedies, {collection} and {model} stand for the options that name the collection and the embedder.
REEMBED = "Run `minilm reembed --force{collection}{model}`, which computes the vectors anew from the stored texts."
OTHER_MODEL = f"Verify with the model that made the collection (--model). {REEMBED}"
COMPACT = "Run `minilm compact{collection}`, which builds the index anew from the stored vectors."
REEMBED_ADVICE = (
    "Run `minilm reembed --force{collection}{model}`, which says how to get at the texts if only the index is damaged. "
    "Otherwise take the database back from a backup, or index the documents again into a new collection."
)
INDEX_AGAIN = "Run `minilm index{collection}{model}` again over the same files."


@dataclass(frozen=True)
class Fault:
    """Something wrong with a collection.

    Attributes:
        kind: One of :data:`CHECKS`.
        message: What is wrong, with numbers.
        remedy: What to do about it.
        ids: Ids of records that show it, or names of sources: some of them, the worst first where they have a score.
        total: How many records, or sources, it concerns; 0 where it is about the collection as a whole.
        cosines: For ``"vector"``, one number for each of ``ids``: the cosine of the stored vector with the one that
            the text has.
    """

    kind: str
    message: str
    remedy: str
    ids: tuple[str, ...] = ()
    total: int = 0
    cosines: tuple[float, ...] = ()


def remedy_options(collection: Collection, embedder: MiniLMEmbedder) -> dict[str, str]:
    """Return what stands in remedies for a collection and the embedder that it is verified with."""
    function = stored_function(collection)
    same = function.fingerprint == embedder.fingerprint
    precision = function.config.get("precision", embedder.precision) if same else embedder.precision
    model = "" if embedder.is_standard else f" --model {shlex.quote(str(embedder.model_name))}"
    if precision != DEFAULTS["precision"]:
        model += f" --precision {precision}"
    return {"collection": f" --collection {collection.name}", "model": model}


@dataclass
class Examples:
    """Counts ids, and keeps a few of them: the first ones, or those of the lowest scores."""

    total: int = 0
    _kept: list[tuple[float, str]] = field(default_factory=list)

    def add(self, id: str, score: float = 0.0) -> None:
        """Count an id."""
        self.total += 1
        if len(self._kept) < _EXAMPLES:
            # The negated score, so that the root of the heap is the best of those kept.
            heapq.heappush(self._kept, (-score, id))
        elif -score > self._kept[0][0]:
            heapq.heapreplace(self._kept, (-score, id))

    def extend(self, ids: Iterable[str], total: int) -> None:
        """Count so many ids, of which only the first are looked at."""
        for id in islice(ids, min(total, _EXAMPLES)):
            self.add(id)
            total -= 1
        self.total += total

    def fields(self) -> dict[str, Any]:
        """Return ``ids`` and ``total`` of a :class:`Fault`."""
        return {"ids": tuple(id for id, _ in self.worst()), "total": self.total}

    def worst(self) -> list[tuple[str, float]]:
        """Return the ids kept with their scores, the lowest first."""
        return [(id, -negated) for negated, id in sorted(self._kept, key=lambda kept: (-kept[0], kept[1]))]

    def __bool__(self) -> bool:
        return self.total > 0
