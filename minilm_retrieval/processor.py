"""Which processor this is, and which of its instructions decide how an engine computes."""

from __future__ import annotations

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_DECIDING = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
_DECIDING_ON_ARM = ("asimd", "bf16", "i8mm", "sve")


def processor_name() -> str:
    """Return the processor's name, or its architecture where the system does not tell."""
    return _cpuinfo("model name", "Model") or platform.processor() or platform.machine()


def processor_instructions() -> tuple[str, ...]:
    """Return those instruction sets that decide how fast, and with which rounding, matrices are multiplied."""
    present = set(_cpuinfo("flags", "Features").split())
    return tuple(name for name in _DECIDING + _DECIDING_ON_ARM if name in present)


def _cpuinfo(*keys: str) -> str:
    try:
        for line in _CPUINFO.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in keys:
                return value.strip()
    except OSError:
        pass
    return ""
