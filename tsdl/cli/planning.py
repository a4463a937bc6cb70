"""The command plan: what would run, or the numbers that go into it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tsdl.cli.options import add_scenario, add_study, read_seed, read_whole
from tsdl.cli.shared import MISTAKE, OK, chosen_scenario, compile_scenario
from tsdl.cli.studying import plan_study

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_scenario(parser)
    add_study(parser)
    parser.add_argument("--format", choices=("text", "json", "yaml"), default="text")
    parser.add_argument(
        "--constants", dest="listed", action="store_true", help="list what --set can set"
    )
    parser.add_argument(
        "--seed", type=read_seed, metavar="N", help="seed of a study's runs (else the scenario's)"
    )
    for name, what in (
        ("decodes", "requests that decode in the iteration whose times are shown (1)"),
        ("context", "tokens that each of them has (1024)"),
        ("prefill", "tokens of the prompt in the other one (1024)"),
    ):
        parser.add_argument(f"--{name}", type=read_whole, metavar="N", help=what)
    parser.set_defaults(command=plan)


def plan(arguments: argparse.Namespace) -> int:
    """Show the plan of a scenario, or the numbers that go into it."""
    asked = {name: getattr(arguments, name) for name in ("decodes", "context", "prefill")}
    asked = {name: value for name, value in asked.items() if value is not None}
    if arguments.study is not None:
        return plan_study(arguments)
    if arguments.listed:
        return _list_constants(arguments)
    made = compile_scenario(arguments)
    if made is None:
        return MISTAKE
    if arguments.format != "text":
        _print(made.to_json(), arguments.format)
    else:
        from tsdl.cli.iterationtext import Iterations
        from tsdl.cli.plantext import describe

        print(describe(made, Iterations(**asked)))
    return OK


def _list_constants(arguments: argparse.Namespace) -> int:
    chosen = chosen_scenario(arguments)
    if chosen is None:
        return MISTAKE
    constants = chosen.constants()
    if arguments.format != "text":
        values = {constant.name: constant.value for constant in constants}
        _print(json.dumps(values, indent=1), arguments.format)
        return OK
    for constant in constants:
        print(f"{constant.name} = {constant.written(constant.value, chosen.program.units)}")
    return OK


def _print(text: str, form: str) -> None:
    """Print JSON as it is, or as YAML."""
    if form == "yaml":
        import yaml

        text = yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True).rstrip()
    print(text)
