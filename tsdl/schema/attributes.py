"""Names that no attribute of requests may have, and what each of them is already."""

from tsdl.schema.names import METRICS, TOTALS
from tsdl.schema.records import RECORDS
from tsdl.schema.scenarios import SCENARIO, WORKLOAD

_COLUMNS = WORKLOAD.blocks["columns"].block.fields
TAKEN: dict[str, str] = {
    **dict.fromkeys(_COLUMNS, "a field of `columns` in workloads"),
    **dict.fromkeys(SCENARIO.fields, "a field of scenarios, which `expect` lines read"),
    **{name: f"a total of a run: {doc}" for name, (_, doc) in TOTALS.items()},
    **{name: f"a metric: {doc}" for name, (_, doc) in METRICS.items()},
    **{name: f"a field of requests: {doc}" for name, (_, doc) in RECORDS["request"].items()},
    "worker": "a column of requests.csv: the worker that a request went to last",
    "status": "a column of requests.csv: whether a request finished",
    "started": "a column of requests.csv: when a request was first computed on",
    "first_token": "a column of requests.csv: when its user had the first token",
    "last_token": "a column of requests.csv: when its user had the last token",
    "transferred": "a column of requests.csv: bytes of KV that were handed over",
    **dict.fromkeys(
        ("expect", "where", "table", "log", "record"), "a word that begins lines of the language"
    ),
    **dict.fromkeys(("true", "false"), "a truth value"),
}
