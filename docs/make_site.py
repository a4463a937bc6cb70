"""Fills in what pages of the site say of schema, library, command line and examples.

A line `<!-- made: NAME ARGUMENTS -->` of a page stands for what the function NAME of MADE returns,
in Markdown; the rest of its paragraph, which says where to read that in the repository, goes with
it. conf.py asks for it while Sphinx reads the page, so that no fact is written twice. To look at
one: `PYTHONPATH=. python docs/make_site.py library hardware`.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from docs import make_reference as reference
from tsdl import ast
from tsdl.cli.parsers import make_parser
from tsdl.diagnostics.codes import CATALOGUE
from tsdl.schema import KINDS, METRICS, TOTALS
from tsdl.session import library as modules
from tsdl.types import Samples

ROOT = Path(__file__).resolve().parents[1]
_MARK = re.compile(r"^<!-- made: ([\w .]+) -->$(?:\n.+)*", re.MULTILINE)
_LINK = re.compile(r"(?<=\]\()(?:\.\./)+(?:[\w./-]+/)?[\w.-]+(?=\))")
_FAILING = re.compile(r"^```tsdl ((?:error|warning|note) \w+)$", re.MULTILINE)
_NAMED = re.compile(r"^```(\w+)(?: \w+)* ([\w/.-]+\.\w+)$", re.MULTILINE)
_LONG = 16  # lines of a declaration that is folded

# Folders have no page of their own: links to them lead to the one that shows what is in them.
_FOLDERS = {
    "examples": "docs/examples.md",
    "examples/paper": "docs/paper.md",
    "stdlib": "docs/reference/library.md",
}


def filled(page: str, text: str) -> str:
    """Return the text of a page, whose name has no ending, with all that is made for it."""
    folder = (ROOT / page).parent

    def led(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / found[0]))
        name = str(target.relative_to(ROOT)) if target.is_relative_to(ROOT) else ""
        return os.path.relpath(ROOT / _FOLDERS[name], folder) if name in _FOLDERS else found[0]

    text = _MARK.sub(lambda found: made(*found[1].split()), _LINK.sub(led, text))
    text = _FAILING.sub(r"```{code-block} tsdl\n:caption: \1\n", text)
    return _NAMED.sub(r"```{code-block} \1\n:caption: \2\n", text)


def made(name: str, *arguments: str) -> str:
    """Return what stands in the place of a mark."""
    return MADE[name](*arguments).strip()


def _plain(text: str) -> str:
    """Return a text as Markdown that shows it; what stands between backquotes stays code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)
    parts[::2] = [re.sub(r"([\\*_\[\]<>])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def _program(text: str, folded: str = "") -> list[str]:
    """Return the lines of a block of TSDL, behind a line to open it where it is folded."""
    lines = ["```tsdl", text.rstrip(), "```", ""]
    return _folded(folded, lines) if folded else lines


def _folded(title: str, lines: list[str]) -> list[str]:
    return ["<details>", f"<summary>{title}</summary>", "", *lines, "</details>", ""]


# -- blocks --------------------------------------------------------------------------------------


def _told(type_: str, default: str, bounds: str) -> str:
    """Return what there is to know of a field, in a line."""
    fallback = default if default == "required" else f"default {default}"
    parts = [type_, "" if default == "–" else fallback, bounds]
    return ", ".join(part for part in parts if part)


def blocks(kind: str) -> str:
    """Return a list of all that a kind of block may hold."""
    block = KINDS[kind]
    lines = [block.doc, ""]
    for name, type_, default, bounds, doc in reference._rows("", block):
        told = _told(type_, default, bounds)
        lines += [
            name,
            f": {_plain(doc)}",
            *([f"  <br>*{told}*"] if told != "block" else []),
            "",
        ]
    return "\n".join([*lines, *reference._notes("", block)])


def all_blocks() -> str:
    """Return a section for each kind of block."""
    return "\n\n".join(f"## `{kind}`\n\n{blocks(kind)}" for kind in KINDS)


def table(name: str) -> str:
    """Return a table that SPEC.md has, too."""
    return reference.TABLES[name]()


def units() -> str:
    """Return the dimensions, with the units that measure each and their prefixes."""
    told = " ".join(reference.units().split()).removesuffix(".")
    return "\n".join(f"- {one}" for one in told.split("; "))


def section(number: str) -> str:
    """Return a section of SPEC.md without its heading."""
    text = (ROOT / "SPEC.md").read_text("utf-8")
    found = re.search(rf"^### {re.escape(number)} [^\n]*\n(.*?)(?=^##)", text, re.M | re.S)
    assert found, number
    return found[1]


# -- library -------------------------------------------------------------------------------------


def library(*names: str) -> str:
    """Return the declarations of files of the library, with their doc comments and sources."""
    lines: list[str] = []
    for module in modules():
        name = Path(module.path).stem
        if name in names:
            comments = re.findall(r"^# ?(.*)", module.file.source.text.partition("\n\n")[0], re.M)
            lines += [f"## {name}.tsim", "", _plain("\n".join(comments)), ""]
            for clause in module.clauses:
                if clause.verb in KINDS:
                    lines += _declaration(clause)
    assert lines, names
    return "\n".join(lines)


def _declaration(clause: ast.Clause) -> list[str]:
    head = clause.head
    name = head.function if isinstance(head, ast.Call) else head
    assert isinstance(name, ast.Name)
    text = clause.span.text
    folded = "all of it" if text.count("\n") > _LONG else ""
    return [f"### {clause.verb} `{name.id}`", "", _plain(clause.doc), "", *_program(text, folded)]


# -- results, codes, commands, examples ----------------------------------------------------------


def metrics() -> str:
    """Return the metrics of a request, and the totals of a run."""
    rows = [
        (
            f"`{name}`",
            about,
            reference._type(type_.of if isinstance(type_, Samples) else type_),
            doc,
        )
        for about, found in (("request", METRICS), ("run", TOTALS))
        for name, (type_, doc) in found.items()
    ]
    return "\n".join(reference._table(("name", "of", "type", "meaning"), rows))


def codes() -> str:
    """Return all codes by range, each leading to its page."""
    lines = []
    for start, about in reference._RANGES.items():
        found = [row for row in CATALOGUE.values() if row.code.startswith(start)]
        lines += [f"## {start}: {about} ({found[0].severity.value}s)", ""]
        page = "../../tsdl/diagnostics/explain"
        lines += [f"- [{row.code}]({page}/{row.code}.md): {_plain(row.title)}" for row in found]
        lines.append("")
    return "\n".join(lines)


def commands() -> str:
    """Return a section for each command, with its arguments and options as `--help` has them."""
    parser = make_parser()
    told = re.sub(r"\s+", " ", parser.epilog or "").removeprefix("exit status: ")
    return "\n".join([*_commands("tsdl", parser), "## Exit status", "", _plain(told)])


def _commands(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield what a parser takes, and then the same of each of its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for word, inner in action.choices.items():
                yield f"## {name} {word}\n\n{_plain(helps.get(word, ''))}\n"
                yield from _commands(f"{name} {word}", inner)
        elif name != "tsdl" and action.dest != "help":
            yield f"{_usage(action)}\n: {_plain(action.help or 'one of these')}\n".replace(
                "%%", "%"
            )


def _usage(action: argparse.Action) -> str:
    """Return an option or argument with the value that it takes."""
    flags = [f"`{flag}`" for flag in action.option_strings]
    choices = "{" + ",".join(action.choices) + "}" if action.choices else action.dest.upper()
    value = "" if action.nargs == 0 else f" `{action.metavar or choices}`"
    return ", ".join(flags) + value if flags else value.strip()


def examples() -> str:
    """Return the programs of examples/, what each is about, and what it prints."""
    lines = []
    for path in sorted((ROOT / "examples").glob("*.tsim")):
        text = path.read_text("utf-8")
        about = re.search(r"(?:^##.*\n)+", text, re.M)
        told = re.sub(r"^##", "", about[0], flags=re.M) if about else ""
        lines += [f"## {path.name}", "", _plain(told), "", *_program(text, "the program")]
        for printed in sorted(path.parent.glob(f"{path.stem}.*out")):
            study = printed.name.removeprefix(f"{path.stem}.").removesuffix("out").rstrip(".")
            shown = ["```text", printed.read_text("utf-8").rstrip(), "```", ""]
            lines += _folded(f"study {study}" if study else "what it prints", shown)
    return "\n".join(lines)


MADE: dict[str, Callable[..., str]] = {
    "blocks": all_blocks,
    "table": table,
    "units": units,
    "section": section,
    "library": library,
    "metrics": metrics,
    "codes": codes,
    "commands": commands,
    "examples": examples,
}


if __name__ == "__main__":
    sys.stdout.write(made(*sys.argv[1:]) + "\n")
