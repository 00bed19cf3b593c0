"""How sure a figure is: intervals by resampling the judged queries or pairs, the same ones for every system."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minilm_retrieval.errors import InvalidOptionError, MissingExtraError

CONFIDENCE = 0.95
METHOD = "percentile"
DEFAULT_RESAMPLES = 2000
# So many numbers are held at a time.
_NUMBERS_AT_ONCE = 4_000_000

Rows = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure, or a difference of two.

    Attributes:
        value: Over all queries or pairs.
        low: Lower end of its 95% interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """The figures of several systems over the same data.

    Attributes:
        figures: By system, then by measure.
        differences: Of each further system, by measure: its figure minus that of the first, with an interval of its
            own, which is narrower than those of the figures suggest, since both are computed on the same resamples.
        resamples: How many resamples the 95% percentile intervals come from.
        seed: Decides which ones.
    """

    figures: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[str, Estimate]]
    resamples: int
    seed: int


def check_resampling(resamples: int, seed: int) -> None:
    """Make sure, before anything is embedded, that intervals can be computed.

    Raises:
        InvalidOptionError: ``resamples`` is less than 1, or ``seed`` is negative.
        MissingExtraError: scipy is not installed.
    """
    if resamples < 1 or seed < 0:
        raise InvalidOptionError(f"Expected at least 1 resample and a seed from 0, got {resamples} and {seed}.")
    try:
        import scipy.stats  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("scipy", "eval") from error


def compare(
    statistic: Callable[[Rows], Values],
    count: int,
    systems: Sequence[str],
    measures: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> Comparison:
    """Compute figures, and their intervals by the percentile bootstrap.

    Args:
        statistic: Takes positions of queries or pairs, shape ``(b, n)``, and returns the figures over each row of them,
            shape ``(systems, measures, b)``.
        count: How many queries or pairs there are, at least 2.
        systems: Names; the first one is what the others are compared with.
        measures: Names.
        resamples: How many, at least 1; see :func:`check_resampling`.
        seed: Decides which ones, from 0.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    from scipy.stats import bootstrap

    def with_differences(rows: Rows, axis: int = -1) -> Values:
        figures = statistic(rows)
        return np.stack([figures, figures - figures[:1]])

    everything = np.arange(count)
    observed = with_differences(everything[None])[..., 0]
    found = bootstrap(
        (everything,),
        with_differences,
        n_resamples=resamples,
        batch=max(1, _NUMBERS_AT_ONCE // (count * len(systems) * len(measures))),
        vectorized=True,
        confidence_level=CONFIDENCE,
        method=METHOD,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    figures, differences = (
        {
            system: {
                measure: Estimate(
                    float(observed[kind, row, column]),
                    float(found.low[kind, row, column]),
                    float(found.high[kind, row, column]),
                )
                for column, measure in enumerate(measures)
            }
            for row, system in enumerate(systems)
        }
        for kind in range(2)
    )
    del differences[systems[0]]
    return Comparison(figures, differences, resamples, seed)
