"""Which text a stored vector stands for: the stored document, or what LlamaIndex made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_NODE_CONTENT = "_node_content"


def embedded_text(document: str | None, metadata: Mapping[str, Any]) -> str | None:
    r"""Return the text that a record's vector was computed from, ``None`` where nobody can tell.

    LlamaIndex embeds a node's text with lines of its metadata before it, and stores the bare text. Its templates are
    stored with the node; they are filled in by replacement, since a stored format string is somebody else's program.

    Source: ``get_content(MetadataMode.EMBED)`` of llama-index-core.

    >>> node = '{"metadata": {"title": "Tea", "page": 3}, "excluded_embed_metadata_keys": ["page"]}'
    >>> embedded_text("Steep it.", {"_node_content": node})
    'title: Tea\n\nSteep it.'
    >>> embedded_text("Steep it.", {})
    'Steep it.'
    """
    if not document or _NODE_CONTENT not in metadata:
        return document
    try:
        node = json.loads(metadata[_NODE_CONTENT])
        excluded = set(node.get("excluded_embed_metadata_keys") or ())
        template = node.get("metadata_template") or "{key}: {value}"
        separator = node.get("metadata_separator") or node.get("metadata_seperator") or "\n"
        lines = [
            _filled(template, key=str(key), value=str(value))
            for key, value in (node.get("metadata") or {}).items()
            if key not in excluded
        ]
        described = separator.join(lines).strip()
        if not described:
            return document
        whole = node.get("text_template") or "{metadata_str}\n\n{content}"
        return _filled(whole, metadata_str=described, content=document).strip()
    except (ValueError, AttributeError, TypeError):
        return None


def _filled(template: str, **values: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda place: values.get(place[1], place[0]), template)
