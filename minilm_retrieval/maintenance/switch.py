"""Put a rewritten collection in the place of the old one, so that whoever is killed in between loses nothing.

Chroma renames one collection at a time, so the switch has steps, and each leaves a state that tells what is to come.
For a collection ``docs``, rewritten into ``docs.rewriting``:

    =====  =====================  ==========================  =======================  ============================
    state  docs                   docs.rewriting              docs.replaced            after a kill, the next call
    =====  =====================  ==========================  =======================  ============================
    copy   old                    part of the new, marked     -                        goes on copying
    ready  old                    new, marked as complete     -                        compares again, and goes on
    gap    -                      new, marked as complete     old                      renames the new to docs
    named  new, marked            -                           old                      deletes the old, unmarks
    done   new                    -                           -                        nothing left
    =====  =====================  ==========================  =======================  ============================

Complete data is always stored: the old collection until the state "named", the new one from "ready" on. The mark holds
the old collection's identity (its UUID, which survives renaming), so no other collection is ever taken for it and
deleted. An old collection that is to be kept is called ``docs.before`` instead of ``docs.replaced``. In the gap, for
the milliseconds between two renames, the name does not exist; whoever opens it then is told why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from minilm_retrieval.errors import InvalidOptionError, StoreError
from minilm_retrieval.maintenance.settings import MARK, own_metadata
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import BEFORE, REPLACED, REWRITING, find_collection

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI


@dataclass(frozen=True)
class Mark:
    """What is noted in the metadata of a new collection until it has taken the old one's place.

    Attributes:
        collection: The name that it is for.
        source: The old collection's UUID.
        target: What the new one is to be; work is taken up only for the same target.
        complete: Whether every record was copied.
    """

    collection: str
    source: str
    target: Mapping[str, Any]
    complete: bool = False

    @classmethod
    def of(cls, collection: Collection | None) -> Mark | None:
        """Read the mark of a collection, ``None`` if it has none."""
        try:
            noted = json.loads((collection.metadata or {})[MARK]) if collection is not None else {}
            return cls(str(noted["collection"]), str(noted["source"]), dict(noted["target"]), noted["complete"] is True)
        except (KeyError, TypeError, ValueError):
            return None

    def __str__(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def unfinished(client: ClientAPI, name: str) -> tuple[Collection, Mark] | None:
    """Return what an earlier rewriting of a collection left, ``None`` if it left nothing.

    Raises:
        StoreError: A collection of that name is there, and it is not this library's.
    """
    found = find_collection(client, name + REWRITING)
    if found is None:
        return None
    mark = Mark.of(found)
    if mark is None or mark.collection != name:
        raise StoreError(
            f"{name + REWRITING!r} is needed as a temporary name and belongs to another collection. Rename that one."
        )
    return found, mark


def recover(client: ClientAPI, name: str) -> Mark | None:
    """Finish a switch that was interrupted.

    Returns:
        The mark of the collection that has its place now, ``None`` if there was nothing to finish.

    Raises:
        StoreError: The name was taken by another collection in the meantime; nothing is deleted.
    """
    current = find_collection(client, name)
    left = unfinished(client, name)
    if left is not None and left[1].complete and (current is None or str(current.id) != left[1].source):
        if current is not None:
            raise StoreError(
                f"Rewriting {name!r} was interrupted when all was copied, and another collection of that name was "
                f"made since. The copy is {name + REWRITING!r}. Delete or rename one of the two with Chroma."
            )
        if not any(_is_source(find_collection(client, name + end), left[1]) for end in (REPLACED, BEFORE)):
            # The collection was not put aside but deleted; its copy does not bring it back.
            return None
        current = left[0]
        _rename(current, name)
    mark = Mark.of(current)
    if current is None or mark is None or mark.collection != name:
        return None
    _finish(client, current, mark)
    return mark


def check_free(client: ClientAPI, name: str, keep: bool) -> None:
    """Make sure that the old collection can be put aside.

    Raises:
        InvalidOptionError: There is a collection of the name that it would get.
    """
    aside = name + (BEFORE if keep else REPLACED)
    if find_collection(client, aside) is not None:
        raise InvalidOptionError(
            f"There is a collection {aside!r} already, and the old {name!r} is to get that name. "
            "Rename or delete it with Chroma first."
        )


def switch(
    client: ClientAPI,
    old: Collection,
    new: Collection,
    mark: Mark,
    keep: bool,
    last_look: Callable[[], None] | None = None,
) -> None:
    """Give the new collection the old one's name; the old one is deleted, or kept beside it.

    Args:
        client: Where both are.
        old: The old collection.
        new: The new one, which holds all records, with ``mark`` in its metadata.
        mark: Its mark.
        keep: Whether the old one stays, as ``<name>.before``.
        last_look: Called when the new one has the name and the old one still exists.

    Raises:
        StoreError: A step failed; the next call goes on from there.
    """
    now = find_collection(client, mark.collection)
    if now is None or not _is_source(now, mark):
        raise StoreError(
            f"{mark.collection!r} was deleted, renamed or replaced while it was rewritten. Its copy is {new.name!r}; "
            "delete that, or rename it, with Chroma."
        )
    mark = replace(mark, complete=True)
    # What others wrote to the collection's metadata since the copy began is kept.
    note(new, mark, own_metadata(now))
    _rename(old, mark.collection + (BEFORE if keep else REPLACED))
    _rename(new, mark.collection)
    if last_look is not None:
        last_look()
    _finish(client, new, mark)


def note(collection: Collection, mark: Mark, metadata: Mapping[str, Any]) -> None:
    """Write a mark, beside these metadata, into a new collection."""
    _modify(collection, {**metadata, MARK: str(mark)})


def delete(client: ClientAPI, name: str) -> None:
    """Delete a collection."""
    with store_errors(f"deleting the collection {name!r}"):
        client.delete_collection(name)


def _finish(client: ClientAPI, current: Collection, mark: Mark) -> None:
    old = find_collection(client, mark.collection + REPLACED)
    if old is not None and _is_source(old, mark):
        delete(client, old.name)
    # Chroma takes no empty metadata; a key without a value stands for none.
    _modify(current, own_metadata(current) or {MARK: None})


def _is_source(collection: Collection | None, mark: Mark) -> bool:
    return collection is not None and str(collection.id) == mark.source


def _rename(collection: Collection, name: str) -> None:
    with store_errors(f"renaming the collection {collection.name!r} to {name!r}"):
        collection.modify(name=name)


def _modify(collection: Collection, metadata: dict[str, Any]) -> None:
    with store_errors(f"noting the state of {collection.name!r}"):
        collection.modify(metadata=metadata)
