"""Names that no attribute of requests, or no metric, may have, and what each of them is already."""

from tsdl.schema.names import METRICS, TOTALS
from tsdl.schema.records import RECORDS
from tsdl.schema.scenarios import SCENARIO, WORKLOAD

_COLUMNS = WORKLOAD.blocks["columns"].block.fields

# What stands where results are asked about.
_OF_RESULTS: dict[str, str] = {
    **dict.fromkeys(SCENARIO.fields, "a field of scenarios, which `expect` lines read"),
    **{name: f"a total of a run: {doc}" for name, (_, doc) in TOTALS.items()},
    **{name: f"a metric: {doc}" for name, (_, doc) in METRICS.items()},
    **dict.fromkeys(
        ("expect", "where", "table", "log", "record"), "a word that begins lines of the language"
    ),
    **dict.fromkeys(("true", "false"), "a truth value"),
}
TAKEN: dict[str, dict[str, str]] = {
    "attribute": {
        **dict.fromkeys(_COLUMNS, "a field of `columns` in workloads"),
        **_OF_RESULTS,
        **{name: f"a field of requests: {doc}" for name, (_, doc) in RECORDS["request"].items()},
        "worker": "a column of requests.csv: the worker that a request went to last",
        "status": "a column of requests.csv: whether a request finished",
        "started": "a column of requests.csv: when a request was first computed on",
        "first_token": "a column of requests.csv: when its user had the first token",
        "last_token": "a column of requests.csv: when its user had the last token",
        "transferred": "a column of requests.csv: bytes of KV that were handed over",
    },
    "metric": _OF_RESULTS,
}
