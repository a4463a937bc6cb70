"""What people are shown of a calibration wherever it is told: names of statistics, and shares."""

import math

TITLES = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E", "throughput": "requests/s"}


def share(value: float, *, sign: bool = False) -> str:
    """Show a share in percent."""
    if math.isnan(value):
        return "–"
    return f"{value:{'+' if sign else ''}.1%}".replace("%", " %")
