"""What handlers have recorded in a run, by name."""

from tsdl.runtime.result import Result


def records(result: Result, name: str) -> list[tuple[float, float]]:
    """Return when which numbers were recorded under a name."""
    columns = (result.records[key].tolist() for key in ("time", "name", "value"))
    return [(time, value) for time, of, value in zip(*columns, strict=True) if of == name]
