"""What every engine's command line comes to: a model, a cluster, memory, a skeleton of traffic."""

import re
from collections.abc import Mapping, Sequence
from textwrap import wrap

from msgspec import Struct

from tsdl.diagnostics import Sink
from tsdl.diagnostics.suggest import nearest
from tsdl.imports.deployment import Deployment, Group, Memory, Node, write
from tsdl.imports.documents import File, read_flags
from tsdl.imports.engines.checkpoints import Checkpoint, checkpoint, formats
from tsdl.imports.engines.commandline import MODEL, Command, Grammar, Version, plain, read_command
from tsdl.imports.engines.configuration import is_configuration, read_configuration
from tsdl.imports.engines.relatives import help_for
from tsdl.imports.library import (
    Names,
    capacity,
    declares,
    folded,
    has_experts,
    known,
    longest_context,
    own_link,
)
from tsdl.imports.tables import UNREAD, WRONG, Table
from tsdl.source import Source, Span
from tsdl.writing import Block, Line, Member, quoted_path, tokens, visible

MOST_DEVICES = 4096
_MOST_LINES = 12  # of a command that are shown
_MOST_NODES = 10_000
# Of `v0.6.3.post1` what defaults depend on. `0.6` is 0.6.0, as it is where one installs it.
_VERSION = re.compile(r"v?(\d{1,3})(?:\.(\d{1,3})(?:\.(\d{1,3}))?)?(?![0-9A-Za-z])")
# GiB that drivers report, by which engines choose their defaults; of others the library's.
MEMORY = {
    **dict.fromkeys(("A100_80G", "A100_PCIe", "H100_SXM", "H100_PCIe"), 80),
    "V100_16G": 16, "L4": 22, "A10": 22, "A10G": 22, "RTX_4090": 24, "RTX_5090": 31,
    "V100_32G": 32, "A100_40G": 40, "L40S": 45, "A40": 45, "MI210": 64, "RTX_PRO_6000": 95,
    "H20": 95, "H200": 140, "B200": 178, "MI300X": 192, "MI325X": 256, "T4": 15, "RTX_3090": 24,
    "RTX_6000_Ada": 45, "RTX_A6000": 48, "GH200": 95, "GH200_144G": 143, "B300": 268, "MI355X": 288,
}  # fmt: skip


# Links of cards that reach each other's memory, and what it is where they do not.
_APART = {"PCIe4_x16": "PCIe4_host", "PCIe5_x16": "PCIe5_host"}
# Flags that change what context a model has.
_STRETCHED = ("--hf-overrides", "--rope-scaling", "--json-model-override-args")

# Links of the library with the engines' own all-reduces, where a device has another.
_CAPTURED = {"A100_80G": "NVLink3_graphs", "A100_40G": "NVLink3_graphs"}


class Serving(Struct):
    """A command line, the flags of ours after `--`, and the deployment that is made of them."""

    sink: Sink
    names: Names
    flags: Table
    own: Table
    command: Command
    deployment: Deployment
    model: Checkpoint
    hardware: str = ""
    note: str = ""  # what the model is called, where that is not its name here

    @property
    def memory(self) -> int:
        """Return the GiB of a device."""
        return MEMORY.get(self.hardware) or capacity(self.hardware)

    def version(self, usual: Version) -> Version:
        """Return the version that is asked for, or that of the image; else the usual one."""
        given = self.own.value("version")
        text = given.span.text.strip("'\"") if given else self.command.tag
        found = _VERSION.match(text)
        if found and ".dev" not in text:  # a build, which counts from the tags that it has seen
            return tuple(int(part) for part in found.groups() if part)
        if text and not given:
            newest = ".".join(map(str, usual))
            title = f"the version `{visible(text)}` says nothing: {newest} is taken"
            remedy = f"say it behind `--`: `-- --version {newest}`"
            self.sink.warning(UNREAD, title, self.flags.span, help=(remedy,))
        if given:
            help_ = "for example 0.19"
            self.sink.error(WRONG, f"`{text[:60]}` is no version", given.span, help=(help_,))
        return usual

    def unread(self, reasons: Mapping[str, str]) -> None:
        """Warn of flags that there is nothing for, and say why."""
        for key, reason in reasons.items():
            value = self.flags.value(key)
            if value is not None and value.data is not False:
                self.flags.unread(key, reason)


def open_command(
    files: Sequence[File], flags: Sequence[str], grammar: Grammar, sink: Sink
) -> Serving | None:
    """Read a command line, and what model and hardware it is about; None where it has mistakes."""
    if len(files) != 1:
        title = f"{'more than one' if files else 'no'} command line is given"
        shown = f'`tsdl import … "{grammar.program} …" -- --hardware A100_80G`'
        help_ = f"put all of it in quotes, and behind `--` only what it does not say: {shown}"
        sink.error(WRONG, title, Span(Source("<flags>", ""), 0, 0), help=(help_,))
        return None
    own = read_flags(flags, sink)
    _known_flags(own, grammar.own)
    (file,) = files
    if is_configuration(file):
        command = read_configuration(file, grammar, sink)
    else:
        command = read_command(file.name, file.text, grammar, sink)
    if command is None:
        return None
    lines = wrap(plain(command.text), 110, break_on_hyphens=False)
    heading = ["Made by `tsdl import` from:", *lines[:_MOST_LINES]]
    made = Deployment("serving", heading, model_name="served")
    serving = Serving(sink, Names(sink), command.flags, own, command, made, Checkpoint(""))
    _hardware(serving)
    _model(serving)
    return None if sink.has_errors else serving


def close_command(serving: Serving) -> str | None:
    """Return the text, after warning of what nobody has read; None where there are mistakes."""
    serving.flags.finish()
    made = serving.deployment
    made.model = Line(serving.model.name, serving.note, "model")
    made.model_members = list(serving.model.members)
    made.workload = Line(
        "sharegpt(rate = 8 req/s)", "no flag says what arrives: put in yours", "workload"
    )
    measured = serving.command.measured
    if measured:
        made.declarations.append(Line(f"param offered: path = {quoted_path(measured.offered)}"))
        other = f": {visible(measured.dataset)} has them" if measured.dataset else ""
        made.workload = [Line("offered", f"without the tokens that prompts share{other}", "trace")]
    return None if serving.sink.has_errors else write(made)


def _known_flags(own: Table, names: Sequence[str]) -> None:
    """Report flags behind `--` that are none of ours: without them another server is described."""
    for key in own.keys:
        if key not in names:
            written = own.keys[key].text.strip("'").partition("=")[0]
            near = nearest(key, names)
            listed = ", ".join(f"`--{name}`" for name in names)
            help_ = f"did you mean `--{near}`?" if near else f"here stand {listed}"
            help_ += "" if near else "; flags of the engine are in its command"
            title = f"`tsdl import` has no flag `{written[:60]}`"
            own.sink.error(WRONG, title, own.keys[key], help=(help_,))


def _hardware(serving: Serving) -> None:
    name, measured = serving.own.text("hardware"), serving.command.measured
    device = measured.device if measured else None
    if name is not None:
        place = serving.own.place("hardware")
        serving.hardware = serving.names.find("hardware", name, place) or ""
        return
    serving.hardware = known("hardware", str(device.data)) or "" if device else ""
    if not serving.hardware:
        title, place = "no hardware is named: it is not told what this runs on", serving.own.span
        if device:
            title, place = f"no hardware `{visible(str(device.data))}` is known", device.span
        help_ = "name the device behind `--`: `-- --hardware A100_80G`"
        serving.sink.error(WRONG, title, place, help=(help_,))


def _model(serving: Serving) -> None:
    flags, sink = serving.flags, serving.sink
    given = flags.text("--model")
    positional = flags.text(MODEL)
    path, place = (given, "--model") if given else (positional, MODEL)
    wanted = serving.own.text("model")
    if wanted:
        path, table, place = wanted, serving.own, "model"
    else:
        table = flags
    if path is None:
        unread = "files of `--config` are not read: " if flags.value("--config") else ""
        help_ = f"{unread}name it in the command, or the library's behind `--`: `--model NAME`"
        sink.error(WRONG, "no model is named", flags.span, help=(help_,))
        return
    serving.model = checkpoint(path)
    if not serving.model.name:
        name = path.rstrip("/").rpartition("/")[2]
        title, help_ = f"the library has no model `{name[:60]}`", help_for(name)
        sink.error(WRONG, title, table.place(place), "unknown", help=(help_,))
        return
    said = (given or positional or path).rstrip("/")
    if folded(said.rpartition("/")[2]) != folded(serving.model.name):
        serving.note = visible(said, 90)
    formats(serving.model, flags)


def context(serving: Serving, flag: str, consent: str | None) -> int | None:
    """Return the longest context that is served; warn where the engine would not without consent.

    Consent is a variable of the environment in the command, or a flag that changes the model.
    """
    flags = serving.flags
    longest = flags.whole(flag, 1, 100_000_000) if _positive(serving, flag) else None
    if longest:
        serving.model.members.append(Line(tokens(longest), flag, "context"))
    elif serving.model.context:
        line = Line(tokens(serving.model.context), "of this checkpoint", "context")
        serving.model.members.append(line)
    most = serving.model.context or longest_context(serving.model.name)
    given = (
        serving.own.text("model")
        or serving.model.longer
        or (consent and consent in serving.command.text)
    )
    if longest and most and longest > most and not given and not flags.has(*_STRETCHED):
        named = serving.note if serving.model.context else serving.model.name
        reason = f"`{named}` has {most} tokens"
        more = f", and the engine takes more only with `{consent}=1`" if consent else ""
        flags.unread(flag, reason + more)
    return longest or most


def host_memory(serving: Serving, size: str, flag: str, copies: int) -> None:
    """Put down memory of the host that keeps blocks of KV beside the devices."""
    if copies > 1:
        serving.flags.unread(flag, "each engine has its own: one for all of them is a tier")
    elif declares(serving.model.name, "recurrent_layers"):
        serving.flags.unread(flag, "states of recurrent layers are kept in no tier of blocks")
    else:
        fields: list[Member] = [Line(size, flag, "capacity"), Line("prefix", "", "share")]
        serving.deployment.tiers.append(Block("tier host", fields))
        serving.deployment.scheduler.also.append("offloading")


def _positive(serving: Serving, flag: str) -> bool:
    """Tell whether a flag is set to a number of its own, and not to `auto` or -1."""
    value = serving.flags.value(flag)
    return value is not None and value.data not in ("auto", -1)


class Shape(Struct, frozen=True):
    """How devices share the work: each of `copies` workers has `tensor` × `stages` devices.

    With `together`, experts are shared by all copies, which go in lock-step; with `whole`, each
    expert is on one device; with `all_to_all` tokens go to the devices of their experts only.
    """

    tensor: int = 1
    stages: int = 1
    copies: int = 1
    together: bool = False
    whole: bool = False
    all_to_all: bool = False
    redundant: int = 0  # copies of experts beyond one of each

    @property
    def routed(self) -> bool:
        """Tell whether ranks exchange tokens, of which each goes to its experts alone."""
        return self.together and self.whole and self.all_to_all


def halves(serving: Serving, shape: Shape, flag: str, when: str) -> None:
    """Put down which batches a flag has divided in two, of which one computes in turn."""
    if not serving.flags.flag(flag):
        return
    if shape.routed:
        serving.deployment.scheduler.local.append(Line(f"overlap {{ when = {when} }}", flag))
    else:
        serving.flags.unread(flag, "batches are divided where ranks send tokens to their experts")


def cluster(serving: Serving, shape: Shape) -> None:
    """Put down the workers."""
    experts = has_experts(serving.model.name)
    ranks = shape.copies if shape.together and experts else 1
    way = "ep" if shape.whole and experts and shape.tensor * ranks > 1 else "tp"
    parts = [str(shape.tensor)]
    parts += [f"ranks = {ranks}"] if ranks > 1 else []
    parts += [f"stages = {shape.stages}"] if shape.stages > 1 else []
    parts += ["exchange = all_to_all"] if ranks > 1 and shape.all_to_all and way == "ep" else []
    parts += [f"redundant = {shape.redundant}"] if shape.redundant and way == "ep" else []
    group = Group("gpu", serving.hardware, shape.copies, shape.tensor)
    if len(parts) > 1 or way == "ep":
        group.parallel = f"{way}({', '.join(parts)})"
    _link(serving, group, reduces=shape.tensor * ranks > 1)
    serving.deployment.nodes.append(_standing(serving, group))


def _link(serving: Serving, group: Group, *, reduces: bool) -> None:
    """Put down what connects the devices, where their own link is not all there is to say."""
    wanted = serving.own.text("link")
    captured = _CAPTURED.get(serving.hardware, "") if reduces and not wanted else ""
    if captured and not serving.flags.flag("--disable-custom-all-reduce"):
        group.link, group.comment = captured, "all-reduces of the engine's own, in graphs"
    if wanted:
        place = serving.own.place("link")
        group.link = serving.names.link(wanted, serving.hardware, place) or ""
    link = group.link or own_link(serving.hardware)
    if reduces and link in _APART and folded(wanted or "PCIe") == "pcie":
        group.link, other = link, _APART[link]
        group.comment = f"cards that reach each other's memory; where they do not, {other}"


def _standing(serving: Serving, group: Group) -> Node:
    """Return where the workers stand; with several servers put down what connects them."""
    flags, own = serving.flags, serving.own
    local = flags.whole("--data-parallel-size-local", 1, _MOST_NODES) or group.count
    servers = flags.whole("--nnodes", 1, _MOST_NODES) or -(-group.count // local)
    named = own.text("network")
    network, why = "InfiniBand_NDR", "no flag says what connects the servers"
    if named:
        found = serving.names.link(named, serving.hardware, own.place("network"))
        network, why = found or network, ""
    if servers == 1:
        return Node("", [group])
    serving.deployment.network = Line(network, why, "network")
    if group.count % servers == 0:
        group.count //= servers
        return Node(f"server * {servers}", [group])
    if servers % group.count:  # else each of them stands on several servers
        flag = "--nnodes" if flags.value("--nnodes") else "--data-parallel-size-local"
        flags.unread(flag, "servers have unlike numbers of engines: each is taken to stand alone")
    return Node("", [group])


def memory(serving: Serving, base: str, fields: Sequence[Line]) -> None:
    """Put down the manager of KV-cache memory."""
    serving.deployment.memory = Memory(base, list(fields), "cache")
