"""Small random models of the BERT architecture, written as sentence-transformers writes them, without torch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

Arrays = dict[str, npt.NDArray[Any]]


class SmallModel:
    """Two layers, 32 numbers a vector, and the tokenizer of all-MiniLM-L6-v2.

    ``write`` makes the directory; the other methods change what is there.
    """

    def __init__(self, directory: Path, standard: Path) -> None:
        self.directory = directory
        self._standard = standard

    def write(self, seed: int = 0, **config: Any) -> Path:
        """Write a whole directory with mean pooling and 64 tokens; keyword arguments change ``config.json``."""
        self.directory.mkdir(parents=True)
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
            shutil.copyfile(self._standard / name, self.directory / name)
        settings: dict[str, Any] = {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_act": "gelu",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": 128,
            "position_embedding_type": "absolute",
            "type_vocab_size": 2,
            "vocab_size": 30522,
            "pad_token_id": 0,
        } | config
        self.write_json("config.json", settings)
        self.write_json("sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
        self.pooling(pooling_mode_mean_tokens=True)
        self.modules("Transformer", "Pooling", "Normalize")
        self.save_weights(random_weights(settings, seed))
        return self.directory

    def modules(self, *kinds: str, prefix: str = "sentence_transformers.models.") -> None:
        """Write ``modules.json``."""
        paths = {"Transformer": "", "Pooling": "1_Pooling"}
        self.write_json(
            "modules.json",
            [
                {"idx": number, "name": str(number), "path": paths.get(kind, f"{number}_{kind}"), "type": prefix + kind}
                for number, kind in enumerate(kinds)
            ],
        )

    def pooling(self, **modes: Any) -> None:
        """Write the pooling module's configuration with these settings and no other modes."""
        self.write_json("1_Pooling/config.json", {"word_embedding_dimension": 32} | modes)

    def update_json(self, name: str, **changes: Any) -> None:
        """Change values of a JSON file; ``None`` takes a value out."""
        content = json.loads((self.directory / name).read_text(encoding="utf-8"))
        content.update(changes)
        self.write_json(name, {key: value for key, value in content.items() if value is not None})

    def write_json(self, name: str, content: Any) -> None:
        file = self.directory / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(content), encoding="utf-8")

    def save_weights(self, weights: Arrays) -> None:
        save_file(weights, self.directory / "model.safetensors", {"format": "pt"})


def random_weights(config: dict[str, Any], seed: int) -> Arrays:
    """Return random weights, large enough that every part of the encoder shows in the vector."""
    chance = np.random.default_rng(seed)
    hidden, inner = config["hidden_size"], config["intermediate_size"]

    def random(*shape: int) -> npt.NDArray[np.float32]:
        return (chance.standard_normal(shape) * 0.3).astype(np.float32)

    weights: Arrays = {
        "embeddings.word_embeddings.weight": random(config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": random(config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": random(config["type_vocab_size"], hidden),
    }
    linear: dict[str, tuple[int, int]] = {}
    norms = ["embeddings.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        block = f"encoder.layer.{layer}."
        linear |= {f"{block}attention.self.{name}": (hidden, hidden) for name in ("query", "key", "value")}
        linear[f"{block}attention.output.dense"] = (hidden, hidden)
        linear[f"{block}intermediate.dense"] = (inner, hidden)
        linear[f"{block}output.dense"] = (hidden, inner)
        norms += [f"{block}attention.output.LayerNorm", f"{block}output.LayerNorm"]
    for name, shape in linear.items():
        weights |= {f"{name}.weight": random(*shape), f"{name}.bias": random(shape[0])}
    for name in norms:
        weights |= {f"{name}.weight": 1 + random(hidden), f"{name}.bias": random(hidden)}
    return weights
