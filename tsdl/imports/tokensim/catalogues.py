"""TokenSim's catalogues: devices, models and links, written out where the library has none."""

from collections.abc import Callable
from functools import partial

from tsdl.imports.library import known
from tsdl.imports.tables import WRONG, Table
from tsdl.imports.tokensim.parts import Parts
from tsdl.writing import Block, Line, Member, bandwidth, number, quantity, seconds, tokens

_GIB = 2**30
_PRICE = 8  # its A100 costs 80,000, ours 10,000 USD
_VOCABULARY = 32_000
Writer = Callable[[Parts, Table], tuple[str, list[Member]]]
_DTYPES = ("fp32", "fp16", "bf16", "fp8", "int8", "int4")


def offer(parts: Parts) -> None:
    """Offer what the catalogues have under all of its names."""
    for catalogue in parts.all("catalogue"):
        for entry in catalogue.tables("hardware"):
            _offer(parts, "hardware", entry, "Name", _card)
        for entry in catalogue.tables("models"):
            _offer(parts, "model", entry, "Name", _sizes)
        for entry in catalogue.tables("links"):
            _offer(parts, "link", entry, "Name", _wire)
    for device in parts.all("device"):
        _offer(parts, "hardware", device, "device_id", _device)
    for model in parts.all("model"):
        _offer(parts, "model", model, "model_id", _model)
    for table in parts.all("links"):
        links = table.table("links")
        for name in links.entries if links else ():
            link = links.table(name) if links else None
            if link:
                parts.names.offer("link", name, partial(_link, parts, name, link))


def _offer(parts: Parts, kind: str, table: Table, key: str, write: Writer) -> None:
    name = table.text(key)
    if name is None:
        return
    aliases = table.value("aliases")
    entries = aliases.data if aliases and isinstance(aliases.data, list) else []
    others = [str(entry.data) for entry in entries]
    for other in (name, *others):
        parts.names.offer(kind, other, partial(_written, parts, kind, name, table, write))


def _written(parts: Parts, kind: str, name: str, table: Table, write: Writer) -> str:
    made = parts.names.known(kind, name)
    if made is None:  # else it was written out under another of its names
        made = parts.names.declare(kind, name)
        base, members = write(parts, table)
        head = f"{kind} {made} from {base}" if base else f"{kind} {made}"
        notes = [f"From {table.span.source.name}."]
        parts.deployment.declarations.append(Block(head, members, "", notes))
    return made


def _needed(table: Table, *keys: str) -> list[float]:
    """Return numbers that must be there."""
    found = []
    for key in keys:
        value = table.positive(key)
        if value is None:
            table.sink.error(WRONG, f"no `{key}` is given", table.span)
        found.append(value or 1.0)
    return found


def _card(_: Parts, table: Table) -> tuple[str, list[Member]]:
    compute, speed, capacity = _needed(table, "TFLOPS", "BW_TBs", "Capacity")
    peak = quantity(compute, "TFLOPS")
    memory = [Line(quantity(capacity, "GiB"), "", "capacity")]
    memory.append(Line(bandwidth(speed * 1000), "", "bandwidth"))
    members: list[Member] = [
        Block("compute", [Line(f"fp16 = {peak}"), Line(f"bf16 = {peak}")]),
        Block("memory", [*memory]),
    ]
    idle, most = table.number("Static_Power"), table.number("TDP")
    powers: list[Member] = []
    powers += [Line(f"idle = {quantity(idle, 'W')}")] if idle else []
    powers += [Line(f"peak = {quantity(most, 'W')}")] if most else []
    members += [Block("power", powers)] if powers else []
    price = table.number("Price")
    if price:
        comment = f"Price {number(price)}, of which an A100 has 80_000"
        members.append(Line(quantity(round(price / _PRICE), "USD"), comment, "price"))
    host = table.text("pcie")
    link = known("link", host) if host else None
    if link and link != "PCIe4_x16":
        members.append(Line(link, "pcie", "host"))
    table.ignore("Name", "Type", "Card_Num", "nvlink", "Die_Area", "Memory_Layer")
    table.ignore("Memory_Tech_Node", "Logic_Tech_Node")
    table.finish()
    return "gpu", members


def _sizes(_: Parts, table: Table) -> tuple[str, list[Member]]:
    layers, hidden, heads = _needed(table, "Nlayer", "Dmodel", "Nhead")
    gated = table.number("Wnum_in_MLP") == 3  # noqa: PLR2004 (gate, up and down)
    width = table.positive("FFN_Hidden") or 4 * hidden
    kv_heads = heads
    if table.text("Multi_Query") == "True":
        kv_heads = 1
    elif table.text("Grouped_Query") == "True":
        kv_heads = table.positive("Grouped_Num") or heads
    longest = table.positive("Max_Token") or 4096
    for key in ("FFN_MOE", "Parallel_FFN"):
        if table.text(key) == "True":
            table.unread(key, "not modelled: taken as a plain feed-forward network")
    table.ignore("Name", "FFN_MOE", "Parallel_FFN", "MOE_Quantity", "MOE_Activate")
    table.finish()
    return _graph(gated=gated), _shape([layers, hidden, heads, kv_heads, width], None, longest)


def _model(_: Parts, table: Table) -> tuple[str, list[Member]]:
    layers, hidden, heads, width = _needed(
        table, "num_layers", "hidden_size", "num_attention_heads", "intermediate_size"
    )
    kv_heads = table.positive("num_key_value_heads") or heads
    vocabulary = table.positive("vocab_size")
    longest = table.positive("max_position_embeddings") or 4096
    gated = (table.text("activation") or "swiglu").lower() in ("swiglu", "geglu", "reglu")
    members = _shape([layers, hidden, heads, kv_heads, width], vocabulary, longest)
    head = table.positive("head_dim")
    if head and head != hidden // heads:
        members.append(Line(number(head), "", "head_dim"))
    dtype = table.text("dtype") or "fp16"
    if dtype in _DTYPES and dtype != "fp16":
        members.append(Line(dtype, "", "dtype"))
    kept = table.text("kv_cache_dtype") or dtype
    if kept in _DTYPES and kept != dtype:
        members.append(Line(kept, "", "kv_dtype"))
    if table.flag("tie_word_embeddings"):
        members.append(Line("true", "", "tied"))
    if table.has("moe") and table.value("moe"):
        table.unread("moe", "mixtures of experts are not imported: taken as dense")
    table.ignore("schema_version", "model_id", "display_name", "aliases", "sources", "moe")
    table.ignore("sliding_window")
    table.finish()
    return _graph(gated=gated), members


def _graph(*, gated: bool) -> str:
    return "llama" if gated else "gpt"


def _shape(sizes: list[float], vocabulary: float | None, longest: float) -> list[Member]:
    names = ("layers", "hidden", "heads", "kv_heads", "ffn")
    fields = [f"{name} = {number(size)}" for name, size in zip(names, sizes, strict=True)]
    if sizes[2] == sizes[3]:
        fields.pop(3)  # as many as heads is the default
    comment = "" if vocabulary else "assumed"
    members: list[Member] = [Line("; ".join(fields))]
    members.append(Line(number(vocabulary or _VOCABULARY), comment, "vocabulary"))
    return [*members, Line(tokens(longest), "", "context")]


def _value(table: Table | None, key: str) -> float | None:
    """Return a number, or the `value` of one that tells its source."""
    if table is None:
        return None
    found = table.value(key)
    if found and isinstance(found.data, Table):
        return found.data.positive("value")
    return table.positive(key)


def _device(parts: Parts, table: Table) -> tuple[str, list[Member]]:
    compute, memory = table.table("peak_compute"), table.table("memory")
    peaks = [(dtype, _value(compute, dtype)) for dtype in _DTYPES]
    lines = [Line(f"{d} = {quantity(p / 1e12, _unit(d))}") for d, p in peaks if p]
    capacity, speed = _value(memory, "capacity_bytes"), _value(memory, "bandwidth_bytes_per_s")
    if not lines or not capacity or not speed:
        title = "a device needs `peak_compute`, and of `memory` its capacity and bandwidth"
        parts.sink.error(WRONG, title, table.span)
    held = [Line(f"capacity = {quantity((capacity or _GIB) / _GIB, 'GiB')}")]
    held.append(Line(f"bandwidth = {bandwidth((speed or 1e9) / 1e9)}"))
    members: list[Member] = [Block("compute", [*lines]), Block("memory", [*held])]
    power = table.table("power")
    most = power.number("tdp_w") if power else None
    members += [Block("power", [Line(f"peak = {quantity(most, 'W')}")])] if most else []
    return "gpu", members


def _unit(dtype: str) -> str:
    return "TOPS" if dtype.startswith("int") else "TFLOPS"


def _link(parts: Parts, name: str, table: Table) -> str:
    rate, delay = table.positive("bandwidth_per_direction_bytes_per_s"), table.number("latency_us")
    if rate is None:
        title = f"the link `{name[:60]}` has no `bandwidth_per_direction_bytes_per_s`"
        parts.sink.error(WRONG, title, table.span)
    return _cable(parts, name, (rate or 1e9) / 1e9, (delay or 0) / 1e6, table)


def _wire(_: Parts, table: Table) -> tuple[str, list[Member]]:
    (rate,) = _needed(table, "UniBW")
    delay = table.number("Latency")
    return "", _ends(rate, delay or 0)


def _cable(parts: Parts, name: str, rate: float, delay: float, table: Table) -> str:
    made = parts.names.declare("link", name)
    notes = [f"From {table.span.source.name}."]
    parts.deployment.declarations.append(Block(f"link {made}", _ends(rate, delay), "", notes))
    return made


def _ends(rate: float, delay: float) -> list[Member]:
    members: list[Member] = [Line(bandwidth(rate), "", "bandwidth")]
    return [*members, Line(seconds(delay), "", "latency")] if delay else members
