"""A folder of Parquet files, one a lot of documents, on any file system; what is there is whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import uuid4

from minilm_retrieval.errors import InvalidOptionError
from minilm_retrieval.scaleout.finding import file_system

_MANIFEST = "minilm.json"
_BLOCK = re.compile(r"block-[0-9a-f]{24}\.parquet")
# There a file is not to be seen before it is closed; elsewhere it is written under another name first.
_WHOLE_WHEN_CLOSED = frozenset({"s3", "gcs", "abfs"})


@dataclass
class BlockFolder:
    """Where blocks of embedded passages are.

    Attributes:
        address: A path, or an address such as ``s3://bucket/folder``.
    """

    address: str

    def start(self, settings: Mapping[str, Any]) -> None:
        """Make the folder ready, or find it so, for a run with these settings.

        Args:
            settings: All that decides what is in the blocks.

        Raises:
            InvalidOptionError: It holds something else, or blocks of other settings.
            OSError: It cannot be written.
        """
        names = self._names()
        if _MANIFEST in names:
            self._check_same(settings)
        elif names:
            raise InvalidOptionError(
                f"{self.address} is not empty and holds no {_MANIFEST}, so it is of no earlier run. Give a new folder."
            )
        self._note(settings, False)

    def finish(self, settings: Mapping[str, Any], blocks: Iterable[str]) -> None:
        """Note that all is there, and remove blocks of earlier runs over files that have changed since."""
        wanted = set(blocks)
        for name in self._names():
            if _BLOCK.fullmatch(name) and name not in wanted:
                self._filesystem.delete_file(self._path(name))
        self._note(settings, True)

    def has(self, name: str) -> bool:
        """Tell whether a block is there."""
        (status,) = self._filesystem.get_file_info([self._path(name)])
        return bool(status.type.name == "File")

    def write(self, name: str, data: bytes) -> None:
        """Write a file, which is there whole or not at all."""
        if self._filesystem.type_name in _WHOLE_WHEN_CLOSED:
            self._put(self._path(name), data)
            return
        unfinished = self._path(f".{name}.{uuid4().hex}.partial")
        self._put(unfinished, data)
        self._filesystem.move(unfinished, self._path(name))

    def _put(self, path: str, data: bytes) -> None:
        with self._filesystem.open_output_stream(path) as stream:
            stream.write(data)

    def _check_same(self, settings: Mapping[str, Any]) -> None:
        with self._filesystem.open_input_stream(self._path(_MANIFEST)) as stream:
            noted = json.loads(stream.read())["settings"]
        if noted != json.loads(json.dumps(settings)):
            differing = ", ".join(
                f"{key} {noted.get(key)!r} there, {settings.get(key)!r} now"
                for key in sorted(noted.keys() | settings.keys())
                if noted.get(key) != settings.get(key)
            )
            raise InvalidOptionError(
                f"{self.address} holds blocks of a run with other settings: {differing}. Give a new folder."
            )

    def _note(self, settings: Mapping[str, Any], finished: bool) -> None:
        noted = {"settings": settings, "finished": finished}
        self.write(_MANIFEST, json.dumps(noted, indent=2, ensure_ascii=False).encode())

    def _names(self) -> set[str]:
        from pyarrow.fs import FileSelector

        self._filesystem.create_dir(self._place, recursive=True)
        return {entry.base_name for entry in self._filesystem.get_file_info(FileSelector(self._place))}

    def _path(self, name: str) -> str:
        return f"{self._place.rstrip('/')}/{name}"

    @cached_property
    def _found(self) -> tuple[Any, str]:
        return file_system(self.address)

    @property
    def _filesystem(self) -> Any:
        return self._found[0]

    @property
    def _place(self) -> str:
        return self._found[1]
