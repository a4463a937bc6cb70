"""The command plan: what would run, or the numbers that go into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsdl.cli.options import add_scenario, add_study, read_whole
from tsdl.cli.shared import MISTAKE, OK, chosen_scenario, compile_scenario, usage_error
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
    if asked and (arguments.study or arguments.listed or arguments.format != "text"):
        return usage_error(
            f"--{next(iter(asked))} chooses an iteration that the plan of a scenario shows as "
            "text: leave it out, or --format, --study and --constants"
        )
    if arguments.store and not arguments.study:
        return usage_error("--store is of a study: add --study NAME")
    if arguments.study:
        return plan_study(arguments)
    if arguments.listed:
        return _list_constants(arguments)
    made = compile_scenario(arguments)
    if made is None:
        return MISTAKE
    if arguments.format == "json":
        print(made.to_json())
    elif arguments.format == "yaml":
        import json

        import yaml

        print(
            yaml.safe_dump(json.loads(made.to_json()), sort_keys=False, allow_unicode=True), end=""
        )
    else:
        from tsdl.cli.iterationtext import Iterations
        from tsdl.cli.plantext import describe

        print(describe(made, Iterations(**asked)))
    return OK


def _list_constants(arguments: argparse.Namespace) -> int:
    chosen = chosen_scenario(arguments)
    if chosen is None:
        return MISTAKE
    for constant in chosen.constants():
        print(f"{constant.name} = {constant.written(constant.value, chosen.program.units)}")
    return OK
