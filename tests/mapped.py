"""Texts to draw maps of, and a map that is hard to draw."""

from __future__ import annotations

from typing import Any

from stores import random_vectors

from minilm_retrieval.analysis import EmbeddedTexts, TextMap, map_texts

HOSTILE = {
    "<script>window.ran = 1</script>": "<script>window.ran = 1</script>",
    "</script><script>window.ran = 1</script>": "</script><script>window.ran = 1</script>",
    "<b>bold</b> &lt;i&gt; &amp; &mu; %{x} $x^2$": "<b>bold</b> &lt;i&gt; &amp; &mu; %{x} $x^2$",
    "<img src=x onerror=window.ran=1>": "<img src=x onerror=window.ran=1>",
    "a\x00b\tc\n\n d\u202e": "a b c d",
    "\ud800 x": "\ufffd x",
    "": "",
    "\u6211" * 200: "\u6211" * 200,
    "word " * 400: "word " * 119 + "word\u2026",
}


def embedded(texts: list[str], metadatas: list[dict[str, Any]] | None = None) -> EmbeddedTexts:
    ids = [f"id {number}" for number in range(len(texts))]
    return EmbeddedTexts(ids, texts, list(metadatas or [{}] * len(texts)), random_vectors(len(texts)))


def map_hostile_texts() -> TextMap:
    """Map texts, names and values that scripts, fonts, formulas and patterns could stumble over."""
    names = ["<u>", "$x^2$", "\u6211\u5011", "\u0645\u0631", "\udc80", "a\x00b", "_hidden", "\\frac{", "%{x}"]
    texts = embedded(list(HOSTILE), [{"<i>kind": name} for name in names])
    return map_texts(texts, "pca", color_by="<i>kind", title="<script>window.ran = 1</script> & $x \udc80\x00")
