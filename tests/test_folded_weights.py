"""What is folded into a matrix product gives the same product."""

from __future__ import annotations

import numpy as np
import pytest

from minilm_retrieval.engines.folded_weights import FIRST_NORM, PROJECTIONS, folded_weights
from minilm_retrieval.model import load_model
from minilm_retrieval.weights import Weights

BLOCK = "encoder.layer.1."
BEFORE = "encoder.layer.0.output.LayerNorm"
INNER = f"{BLOCK}attention.output.LayerNorm"


@pytest.fixture(scope="module")
def weights() -> tuple[Weights, Weights]:
    """The standard model's weights, as they are and folded."""
    model = load_model()
    return model.weights(), folded_weights(model.config, model.weights())


def tokens() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Random normalised tokens."""
    return np.random.default_rng(0).standard_normal((5, 384)).astype(np.float32)


def product(weights: Weights, name: str, tensor: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> np.ndarray:
    return tensor @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


@pytest.mark.parametrize(
    ("name", "norm", "factor"),
    [
        (f"{BLOCK}attention.self.query", BEFORE, 32**-0.5),
        (f"{BLOCK}attention.self.key", BEFORE, 1),
        (f"{BLOCK}attention.self.value", BEFORE, 1),
        (f"{BLOCK}intermediate.dense", INNER, 1),
        ("encoder.layer.0.attention.self.value", FIRST_NORM, 1),
    ],
)
def test_products_of_normalised_tokens(weights: tuple[Weights, Weights], name: str, norm: str, factor: float) -> None:
    plain, folded = weights
    read = tokens() * plain[f"{norm}.weight"] + plain[f"{norm}.bias"]
    assert np.abs(product(folded, name, tokens()) - factor * product(plain, name, read)).max() <= 1e-4


@pytest.mark.parametrize(
    ("name", "norm", "size"), [(f"{BLOCK}attention.output.dense", BEFORE, 384), (f"{BLOCK}output.dense", INNER, 1536)]
)
def test_residual_sums(weights: tuple[Weights, Weights], name: str, norm: str, size: int) -> None:
    plain, folded = weights
    inner = np.random.default_rng(1).standard_normal((5, size)).astype(np.float32)
    gained = tokens() * plain[f"{norm}.weight"]
    expected = product(plain, name, inner) + gained + plain[f"{norm}.bias"]
    assert np.abs(product(folded, name, inner) + gained - expected).max() <= 1e-4


def test_single_projections_share_the_memory_of_the_stack(weights: tuple[Weights, Weights]) -> None:
    _, folded = weights
    for kind in ("weight", "bias"):
        stack = folded[f"{BLOCK}attention.self.projections.{kind}"]
        for number, part in enumerate(PROJECTIONS):
            own = folded[f"{BLOCK}attention.self.{part}.{kind}"]
            assert np.shares_memory(own, stack)
            assert (own == stack[384 * number :][:384]).all()


def test_the_models_own_weights_stay_as_they_are() -> None:
    model = load_model()
    given = model.weights()
    kept = {name: array.copy() for name, array in given.items()}
    folded_weights(model.config, given)
    assert all((given[name] == array).all() for name, array in kept.items())
