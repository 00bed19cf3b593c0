"""Write the model as ONNX files, for the peers that would download one.

    python benchmarks/export_onnx.py MODEL_DIRECTORY OUTPUT_DIRECTORY

Chroma and fastembed read ONNX files of their own from a hub. Exporting the weights that everybody else reads keeps the
comparison about the runtimes, and works without a network. The export is the fastest of those tried in onnxruntime:
attention written out (scaled_dot_product_attention exports with NaN guards that cost up to a fifth), through the
TorchScript exporter, whose graph onnxruntime fuses further than the newer exporter's, as it does the published files.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

MAX_TOKENS = 256

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OUTPUT = "last_hidden_state"
# Chroma downloads an archive again unless all of these are there.
_COPIED = ("config.json", "special_tokens_map.json", "tokenizer_config.json", "tokenizer.json", "vocab.txt")


def chroma_download_path(directory: Path) -> Path:
    """Return what Chroma's ``DOWNLOAD_PATH`` must be for an export into this directory."""
    return directory / "chroma"


def fastembed_model_path(directory: Path) -> Path:
    """Return what fastembed's ``specific_model_path`` must be for an export into this directory."""
    return directory / "fastembed"


def is_exported(directory: Path) -> bool:
    """Tell whether an earlier export into this directory was completed; fastembed's files are written last."""
    return (fastembed_model_path(directory) / "model.onnx").is_file()


def export(model: Path, directory: Path) -> None:
    """Export a BERT model directory for Chroma and for fastembed.

    Args:
        model: Directory with the safetensors weights, ``config.json`` and the tokenizer's files.
        directory: Where to write; made if need be.
    """
    chroma = chroma_download_path(directory) / "onnx"
    chroma.mkdir(parents=True, exist_ok=True)
    for name in _COPIED:
        shutil.copyfile(model / name, chroma / name)
    _export_encoder(model, chroma / "model.onnx")
    _write_for_fastembed(chroma, fastembed_model_path(directory))


def _export_encoder(model: Path, file: Path) -> None:
    import torch
    from transformers import BertModel

    class Encoder(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """Three tensors in, one out: the exporter hands over everything by position, which BertModel refuses."""

        def __init__(self, bert: Any) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
            return self.bert(**inputs).last_hidden_state

    bert = BertModel.from_pretrained(str(model), attn_implementation="eager", add_pooling_layer=False)
    ids = torch.ones(2, 16, dtype=torch.long)
    axes = {0: "batch", 1: "length"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Encoder(bert).eval(),
            (ids, torch.ones_like(ids), torch.zeros_like(ids)),
            str(file),
            dynamo=False,
            input_names=list(_INPUTS),
            output_names=[_OUTPUT],
            dynamic_axes=dict.fromkeys((*_INPUTS, _OUTPUT), axes),
            opset_version=17,
        )


def _write_for_fastembed(source: Path, target: Path) -> None:
    """Copy the files, with the model's own length: the tokenizer's file would cut at 128 tokens and pad up to them."""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "special_tokens_map.json"):
        shutil.copyfile(source / name, target / name)
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["truncation"]["max_length"] = MAX_TOKENS
    tokenizer["padding"]["strategy"] = "BatchLongest"
    (target / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    settings = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["model_max_length"] = MAX_TOKENS
    (target / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    shutil.copyfile(source / "model.onnx", target / "model.onnx")


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))
