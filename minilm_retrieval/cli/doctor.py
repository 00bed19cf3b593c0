"""``minilm doctor``."""

from __future__ import annotations

import platform
import sqlite3
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import typer

from minilm_retrieval import __version__
from minilm_retrieval.cli import options
from minilm_retrieval.cpu import ThreadBudget, stream_plan, thread_budget
from minilm_retrieval.embedder import MiniLMEmbedder
from minilm_retrieval.engines.openvino import has_bfloat16
from minilm_retrieval.errors import MiniLMError
from minilm_retrieval.processor import processor_instructions, processor_name

_RUNTIME = ("openvino", "tokenizers", "safetensors", "numpy", "huggingface-hub", "semantic-text-splitter")
_INT8 = frozenset({"avx_vnni", "avx512_vnni", "amx_int8"})
_EXTRAS = {
    "chroma": "chromadb",
    "langchain": "langchain-core",
    "llama-index": "llama-index-core",
    "files": "markitdown",
    "parquet": "pyarrow",
    "server": "fastapi",
    "torch": "torch",
}


def doctor(model: options.Model = None, threads: options.Threads = None, json: options.JsonOutput = False) -> None:
    """Show what this installation runs on, and whether the model works. The exit code is 1 if it does not."""
    with options.user_errors():
        budget = thread_budget(threads)
        facts = _facts(budget, _model_facts(model, budget))
        if json:
            options.print_json(facts)
        else:
            _print(facts)
    if facts["model"].get("error"):
        raise typer.Exit(options.FAILURE)


def _facts(budget: ThreadBudget, model: dict[str, Any]) -> dict[str, Any]:
    return {
        "minilm_retrieval": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "processor": {"name": processor_name(), "instructions": list(processor_instructions())},
        "threads": {
            "count": budget.threads,
            "reason": budget.reason,
            "streams": stream_plan(budget.threads).reason,
        },
        "engine": f"OpenVINO {version_of('openvino')}: {_precisions()}",
        "model": model,
        "packages": {name: version_of(name) for name in _RUNTIME},
        "extras": {extra: version_of(package) for extra, package in _EXTRAS.items()},
        "sqlite": sqlite3.sqlite_version,
    }


def _model_facts(model: str | None, budget: ThreadBudget) -> dict[str, Any]:
    """Load the model and embed a text with it."""
    try:
        with MiniLMEmbedder(model, threads=budget.threads) as embedder:
            embedder.encode("Does it work?")
            return {
                "origin": embedder.model_origin(),
                "dimension": embedder.dimension,
                "max_seq_length": embedder.max_seq_length,
                "fingerprint": embedder.fingerprint,
            }
    except MiniLMError as error:
        return {"error": str(error)}


def _precisions() -> str:
    lacking = [] if has_bfloat16() else ["bfloat16"]
    if not _INT8.intersection(processor_instructions()):
        lacking.append("int8, which is then no faster")
    offered = "float32, bfloat16 and int8" if has_bfloat16() else "float32 and int8"
    return offered + (f"; this processor has no instructions for {' and '.join(lacking)}" if lacking else "")


def version_of(package: str) -> str | None:
    """Return the version of an installed package, ``None`` if it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "present" if find_spec(package.replace("-", "_")) else None


def _print(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    model, processor = facts["model"], facts["processor"]
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows = {
        "minilm-retrieval": facts["minilm_retrieval"],
        "Python": facts["python"],
        "platform": facts["platform"],
        "processor": processor["name"],
        "instructions": " ".join(processor["instructions"]) or "not known",
        "threads": f"{facts['threads']['count']}: {facts['threads']['reason']}",
        "streams": facts["threads"]["streams"],
        "engine": facts["engine"],
        "model": model.get("error") or f"works; {model['origin']}",
        "vectors": "" if model.get("error") else f"{model['dimension']} numbers from {model['max_seq_length']} tokens",
        "fingerprint": model.get("fingerprint", ""),
        "packages": ", ".join(f"{name} {found or 'missing'}" for name, found in facts["packages"].items()),
        "extras": ", ".join(f"{name}: {found or 'not installed'}" for name, found in facts["extras"].items()),
        "sqlite": facts["sqlite"],
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, str(value))
    Console(highlight=False, markup=False).print(table)
