"""The settings of a collection: space, index, embedding function and metadata, to make another like it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.store.client import store_errors
from minilm_retrieval.store.collection import SPACES, space_of
from minilm_retrieval.store.stored_function import StoredFunction, stored_function

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI
    from chromadb.api.types import Schema

MARK = "minilm_rewriting"
"""The key, in a collection's metadata, of what is noted about an unfinished rewriting."""

# Settings in the metadata of old collections; Chroma gives them in the configuration too, and refuses to change them.
_LEGACY = "hnsw:"


@dataclass(frozen=True)
class CollectionSettings:
    """How a collection is made.

    Attributes:
        space: ``"cosine"``, ``"l2"`` or ``"ip"``.
        index: Kind of the index: ``"hnsw"``, or ``"spann"`` in Chroma Cloud.
        tuning: The settings of the index except the space, such as ``ef_construction``.
        function: The embedding function that is recorded.
        metadata: The collection's own metadata.
        schema: Which metadata is indexed, as Chroma's ``Schema``; ``None`` where that is as usual.
    """

    space: str
    index: str
    tuning: Mapping[str, Any]
    function: StoredFunction
    metadata: Mapping[str, Any]
    schema: Schema | None = None

    @classmethod
    def of(cls, collection: Collection) -> CollectionSettings:
        """Read the settings of a collection."""
        configuration = collection.configuration_json or {}
        index = "spann" if configuration.get("spann") else "hnsw"
        tuning = {key: value for key, value in (configuration.get(index) or {}).items() if value is not None}
        tuning.pop("space", None)
        function, metadata = stored_function(collection), own_metadata(collection)
        return cls(space_of(collection), index, tuning, function, metadata, _own_schema(collection))

    def create(self, client: ClientAPI, name: str, function: Any = None, **marks: str) -> Collection:
        """Make a collection with these settings.

        Args:
            client: Where to.
            name: Its name; there must be none of that name.
            function: The embedding function to record; ``None`` for the record of ``self.function``.
            marks: More metadata.

        Raises:
            StoreError: Chroma refused it.
        """
        if function is None and self.function.name is not None:
            from minilm_retrieval.maintenance.recorded_function import RecordedFunction

            function = RecordedFunction(self.function)
        made: Any = {
            "configuration": {self.index: {**self.tuning, "space": self.space}},
            "embedding_function": function,
        }
        with store_errors(f"making the collection {name!r}"):
            if self.schema is not None:
                from chromadb.api.types import VectorIndexConfig

                index: Any = {"space": self.space, "embedding_function": function, self.index: dict(self.tuning)}
                made = {"schema": self.schema.create_index(VectorIndexConfig(**index)), "embedding_function": None}
            return client.create_collection(name, metadata={**self.metadata, **marks} or None, **made)


def _own_schema(collection: Collection) -> Schema | None:
    from chromadb.api.types import Schema

    with warnings.catch_warnings():
        # A recorded embedding function need not be installed.
        warnings.simplefilter("ignore")
        schema = collection.schema
    return None if schema is None or _choices(schema) == _choices(Schema()) else schema


def _choices(schema: Schema) -> Any:
    """Return what is indexed, by key and index, and how it is encrypted."""
    said = schema.serialize_to_json()
    enabled = {
        (key, name): index["enabled"]
        for key, kinds in {"": said["defaults"], **said["keys"]}.items()
        for indexes in kinds.values()
        for name, index in indexes.items()
    }
    return enabled, said.get("cmek")


def own_metadata(collection: Collection) -> dict[str, Any]:
    """Return a collection's metadata without marks of this library's rewriting and without index settings."""
    metadata = collection.metadata or {}
    return {key: value for key, value in metadata.items() if key != MARK and not key.startswith(_LEGACY)}


def checked_space(space: str | None) -> str | None:
    """Return a space that was asked for.

    Raises:
        InvalidOptionError: Chroma has none of that name.
    """
    if space is not None and space not in SPACES:
        raise InvalidOptionError(f"space={space!r} is not offered; expected one of {', '.join(SPACES)}.")
    return space
