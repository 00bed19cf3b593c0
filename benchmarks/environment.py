"""What the figures depend on besides the code: processor, system, versions."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib import metadata

from processors import Processors

from minilm_retrieval.processor import processor_instructions, processor_name

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


def describe(threads: int, processors: Processors) -> dict[str, str]:
    """Return what the figures depend on, by name, in the order of a report; ask when the measurements are over."""
    where = ", ".join(map(str, processors.pinned))
    pinned = f"pinned to processors {where}" if where else "not pinned"
    others = processors.others_share()
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor_name(),
        "instruction sets": " ".join(processor_instructions()) or "unknown",
        "threads": f"{threads} for every peer; {pinned} of {os.cpu_count()}",
        "taken by other programs": "unknown" if others is None else f"{others:.1%} of the processors' time",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{package} {_version(package)}" for package in _PACKAGES),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
