"""Each room of the house imports only from the floors below it (or its own room)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "minilm_retrieval"
FLOORS = {
    "errors": 1,
    "arrow": 1,
    "cpu": 1,
    "processor": 1,
    "rows": 1,
    "similarity": 1,
    "output_files": 1,
    "progress": 1,
    "readable": 1,
    "truncation": 1,
    "file_stamps": 2,
    "whole_files": 1,
    "whole_numbers": 1,
    "hub_cache": 2,
    "model_files": 2,
    "model_config": 2,
    "refused_settings": 2,
    "tokenizer": 2,
    "tokenizer_config": 2,
    "word_ids": 2,
    "weights": 2,
    "batching": 2,
    "model": 2,
    "options": 3,
    "engines": 3,
    "pipeline": 3,
    "embedder": 4,
    "lists": 4,
    "store": 5,
    "ingest": 6,
    "maintenance": 6,
    "analysis": 6,
    "evaluation": 6,
    "scaleout": 6,
    "bench": 6,
    "server": 6,
    "cli": 7,
    "__main__": 8,
}
INTEGRATIONS = ("chroma_minilm", "langchain_minilm", "llama_index_minilm")
# Heavy or optional packages, and the only places that may import them.
FENCED = {
    "openvino": {"engines"},
    "torch": {"engines", "bench", "evaluation"},
    "sentence_transformers": {"engines", "bench", "evaluation"},
    "tokenizers": {"tokenizer"},
    "chromadb": {"store", "ingest", "maintenance", "bench", "server", "analysis", "evaluation", "scaleout"},
    "markitdown": {"ingest"},
    "pyarrow": {"arrow", "scaleout"},
    "ray": {"scaleout"},
    "typer": {"cli"},
    "sklearn": {"analysis"},
    "openTSNE": {"analysis"},
    "plotly": {"analysis"},
    "matplotlib": {"analysis"},
    "scipy": {"evaluation"},
    "ir_measures": {"evaluation"},
    "mteb": {"evaluation"},
    "fastapi": {"server"},
    "uvicorn": {"server"},
    "prometheus_client": {"server"},
}


def source_files() -> list[Path]:
    return sorted((ROOT / PACKAGE).rglob("*.py"))


def room_of(file: Path) -> str:
    first = file.relative_to(ROOT / PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_modules(file: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return modules


def test_every_room_has_a_floor() -> None:
    assert {room_of(file) for file in source_files()} - {"__init__"} == set(FLOORS)


@pytest.mark.parametrize("file", source_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_down(file: Path) -> None:
    room = room_of(file)
    if room == "__init__":
        return
    modules = imported_modules(file)
    assert not {module for module in modules if module.split(".")[0] in INTEGRATIONS}
    for module in modules:
        parts = module.split(".")
        if parts[0] == PACKAGE and len(parts) > 1 and parts[1] in FLOORS:
            assert FLOORS[parts[1]] <= FLOORS[room], f"{file.name} of floor {FLOORS[room]} imports {module}"


@pytest.mark.parametrize("file", source_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_fenced_packages_stay_in_their_rooms(file: Path) -> None:
    for module in imported_modules(file):
        allowed = FENCED.get(module.split(".")[0])
        assert allowed is None or room_of(file) in allowed, f"{file.name} imports {module}"


def test_files_stay_small() -> None:
    lengths = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in source_files()}
    assert {name: length for name, length in lengths.items() if length > 300} == {}
