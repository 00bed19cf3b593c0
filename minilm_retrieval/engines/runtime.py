"""OpenVINO, imported without the telemetry that it sends when it is imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TELEMETRY = "openvino_telemetry"


@contextmanager
def _absent(name: str) -> Iterator[None]:
    """Have imports of a module fail as if it were not installed; OpenVINO then does without."""
    missing = object()
    before = sys.modules.get(name, missing)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is missing:
            del sys.modules[name]
        else:
            sys.modules[name] = before  # type: ignore[assignment]


with _absent(_TELEMETRY):
    import openvino as ov
    from openvino import opset15 as ops

__all__ = ["ops", "ov"]
