"""Shares of a peak that no kernel reaches: a fit that ends there stands for something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsdl.diagnostics import Diagnostic, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsdl.calibration.calibration import Fitted
    from tsdl.constants import Constant

# Classes that read and multiply more than any cache holds; what others read may come from there.
_LARGE = ("gemm", "grouped_gemm", "attention", "latent_attention")
_SHARES = {"compute": "peak", "bandwidth": "memory's bandwidth"}
_ALL = 0.999  # as good as 100 %, where the field ends


def beyond(fitted: Iterable[Fitted]) -> Iterator[Diagnostic]:
    """Yield a warning of each constant that was fitted beyond what the device can do."""
    for found in fitted:
        values = found.factor.values(found.logarithm)
        for constant, value in zip(found.factor.constants, values, strict=True):
            whole = _whole(constant.path)
            if whole and constant.value < _ALL <= value:
                yield _warning(constant, value, whole)


def _whole(path: str) -> str:
    """Return what a constant is a share of, where no kernel reaches all of it."""
    block, *names = path.split(".")
    large = block == "efficiency" and names[0] in _LARGE
    return _SHARES.get(names[-1], "") if large else ""


def _warning(constant: Constant, value: float, whole: str) -> Diagnostic:
    return Diagnostic(
        "W0905",
        Severity.WARNING,
        f"`{constant.name}` was fitted to {100 * value:.3g} % of the {whole}",
        None,
        notes=("no kernel does: the engine was faster than the scenario lets this device be",),
        help=(
            "are the device and the number formats those that were measured?",
            "does the scenario have less parallelism, or launches, gaps and overheads that the "
            "engine has not?",
            "is the load the same: arrivals, lengths, prefixes that were found in memory?",
        ),
    )
