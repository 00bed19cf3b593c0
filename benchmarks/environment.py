"""What the figures depend on besides the code: processor, system, versions."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from processors import Processors

_PACKAGES = (
    "minilm-retrieval",
    "openvino",
    "sentence-transformers",
    "torch",
    "transformers",
    "langchain-huggingface",
    "llama-index-embeddings-huggingface",
    "chromadb",
    "fastembed",
    "onnxruntime",
    "tokenizers",
    "numpy",
)
_CPU_INFO = Path("/proc/cpuinfo")
_CPU_FLAGS = (
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "asimddp",
    "sve",
)


def describe(threads: int, processors: Processors) -> dict[str, str]:
    """Return what the figures depend on, by name, in the order of a report; ask when the measurements are over."""
    where = ", ".join(map(str, processors.pinned))
    pinned = f"pinned to processors {where}" if where else "not pinned"
    others = processors.others_share()
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _cpu_field("model name") or platform.processor() or platform.machine(),
        "instruction sets": " ".join(_cpu_flags()) or "unknown",
        "threads": f"{threads} for every peer; {pinned} of {os.cpu_count()}",
        "taken by other programs": "unknown" if others is None else f"{others:.1%} of the processors' time",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{package} {_version(package)}" for package in _PACKAGES),
    }


def _cpu_flags() -> list[str]:
    present = set((_cpu_field("flags") or _cpu_field("Features")).split())
    return [flag for flag in _CPU_FLAGS if flag in present]


def _cpu_field(name: str) -> str:
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
