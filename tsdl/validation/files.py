"""A comparison as files: validate.json, validate.csv. No clock, no path."""

import csv
import io
import json
import math
from itertools import zip_longest
from pathlib import Path, PurePath
from typing import Any

from msgspec.structs import asdict

from tsdl.diagnostics.export import brief
from tsdl.validation.columns import NAMES
from tsdl.validation.comparison import Validation
from tsdl.wholefiles import made, put_together, text_put


def as_json(validation: Validation, *, warned: bool = False) -> str:
    """Return the comparison as JSON: times in seconds, errors as shares, null for what is not.

    With what is `warned` of both runs where that is wanted.
    """
    run, result = validation.run, validation.result
    found = {
        "scenario": result.plan.scenario,
        "plan": result.plan.hash,
        "seed": result.seed,
        "run": {
            "name": PurePath(run.name).name,
            "format": run.format,
            "date": run.date,
            "requests": len(run.requests),
            "left_out": run.left_out,
        },
        "same_requests": validation.same,
        "arrivals_differ": validation.latest,
        "counted": {
            "measured": int(validation.measured.counted.sum()),
            "simulated": int(validation.simulated.counted.sum()),
        },
        "makespan": {"measured": validation.measured.span, "simulated": validation.simulated.span},
        "table": [{**asdict(row), "error": row.error} for row in validation.rows],
        "by_request": [asdict(agreement) for agreement in validation.agreements],
    }
    if warned:
        found["warnings"] = brief((*validation.warnings, *result.warnings))
    return json.dumps(_known(found), indent=2, allow_nan=False) + "\n"


def as_csv(validation: Validation) -> str:
    """Return all requests, measured and simulated in one row by their place in the arrivals."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", *(f"measured_{n}" for n in NAMES), *(f"simulated_{n}" for n in NAMES)])
    cells = [
        column
        for side in (validation.measured, validation.simulated)
        for column in (_known(side.values[name].tolist()) for name in NAMES)
    ]
    writer.writerows([i, *row] for i, row in enumerate(zip_longest(*cells)))
    return text.getvalue()


def write(validation: Validation, folder: Path) -> None:
    """Write both files into a folder, which is made: both or none. Raises OSError."""
    texts = {"validate.csv": as_csv(validation), "validate.json": as_json(validation)}
    with made(folder):
        put_together([(folder / name, text_put(text)) for name, text in texts.items()])


def _known(value: Any) -> Any:  # noqa: ANN401 (JSON in and out)
    """Put None in the place of numbers that are none."""
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_known(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
