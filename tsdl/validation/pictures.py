"""Pictures of both distributions, drawn with matplotlib (the extra `plots`)."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tsdl.validation.columns import METRICS, Column
from tsdl.validation.comparison import Validation
from tsdl.wholefiles import put_whole

_WIDTH, _HEIGHT = 12.0, 3.6  # inches


class NoMatplotlib(Exception):
    """matplotlib is not installed."""


def write(validation: Validation, folder: Path) -> None:
    """Write validate.svg and validate.png: cumulative distributions of TTFT, TPOT and E2E.

    Raises NoMatplotlib, or OSError. The same comparison gives the same bytes.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise NoMatplotlib from None
    with mpl.rc_context({"svg.hashsalt": "tsdl"}):  # else its ids are drawn at random
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        axes = figure.subplots(1, len(METRICS), sharey=True)
        for place, metric in zip(axes, METRICS, strict=True):
            _draw(place, validation, metric)
        axes[0].set_ylabel("share of requests")
        axes[0].legend(loc="lower right")
        figure.suptitle(validation.result.plan.scenario)
        svg = partial(figure.savefig, format="svg", metadata={"Date": None})
        png = partial(figure.savefig, format="png", dpi=120)
        put_whole(folder / "validate.svg", svg)
        put_whole(folder / "validate.png", png)


def _draw(axes: Any, validation: Validation, metric: str) -> None:  # noqa: ANN401
    sides = (("measured", validation.measured, "-"), ("simulated", validation.simulated, "--"))
    for name, columns, style in sides:
        values = _ordered(columns.of(metric))
        shares = np.arange(1, len(values) + 1) / len(values) if len(values) else values
        axes.step(values, shares, style, where="post", label=name)
    axes.set_xlabel(f"{metric.upper()} (s)")
    axes.set_ylim(0, 1)
    axes.set_xlim(left=0)
    axes.grid(visible=True, alpha=0.3)


def _ordered(values: Column) -> Column:
    return np.sort(values[np.isfinite(values)])
