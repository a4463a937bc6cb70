"""What TokenSim's files say together: the parts by what they are about, and the deployment made."""

from msgspec import Struct, field

from tsdl.diagnostics import Sink
from tsdl.imports.deployment import Deployment
from tsdl.imports.library import Names
from tsdl.imports.tables import Table, Value
from tsdl.source import Span

# A file is told by one of its keys.
KEYS = {
    "workers": "workers",
    "global_scheduler": "global_scheduler",
    "local_scheduler": "local_scheduler",
    "transformer": "transformer",
    "worker_groups": "cluster",
    "prefill_mean_len": "workload",
    "decode_mean_len": "workload",
    "kv_connector": "kv_transfer",
    "device_id": "device",
    "model_id": "model",
    "topology_id": "topology",
    "hardware": "catalogue",
    "links": "links",
}
PAPER = ("workers", "global_scheduler", "local_scheduler", "transformer")


class Parts(Struct):
    """All tables of an import, by what they are about."""

    sink: Sink
    names: Names
    deployment: Deployment
    flags: Table
    found: dict[str, list[Table]] = field(default_factory=dict)
    stored: tuple[str, str] | None = None  # whose KV goes to the pool, as a condition; a comment

    def all(self, part: str) -> list[Table]:
        """Return the tables of a part."""
        return self.found.get(part, [])

    def first(self, part: str) -> Table | None:
        """Return the table of a part that there is one of."""
        return next(iter(self.all(part)), None)

    def either(self, key: str, part: str) -> tuple[Table, Value] | None:
        """Return who sets a key: the command line, which wins, or else a part."""
        for table in (self.flags, *self.all(part)):
            value = table.value(key)
            if value is not None:
                for other in self.all(part):
                    other.ignore(key)
                return table, value
        return None


def hook(text: str) -> str:
    """Return the function that a hook like `put_kv()` names."""
    return text.partition("(")[0].strip().lower()


def quoted(key: str, value: object) -> str:
    """Return a key and its value as a comment cites them."""
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return f"{key}: {shown.lower() if isinstance(value, bool) else shown}"


def function_of_yours(table: Table, key: str, span: Span) -> None:
    """Warn of a hook whose function is Python that nobody has brought."""
    name = str(table.entries[key].data)
    help_ = "write what it does as a handler: `on EVENT(…) { … }`, SPEC.md section 8"
    title = f"`{key}` names a function of its own, `{name[:60]}`"
    table.sink.warning("W0606", title, span, "left out", help=(help_,))
