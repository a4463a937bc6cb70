"""The library is resolved and checked once for all programs, of which none leaves a trace in it."""

from collections.abc import Iterator

import pytest

import tsdl
from tests.checked_texts import examine
from tests.conftest import ROOT
from tests.good_programs import PIECES, first_scenario
from tsdl.program import Declaration, Members, Program
from tsdl.session import checked_library

HIDES = """
unit fortnight = 1_209_600 s
dimension mischief
hardware A100_80G from H100_SXM { memory { capacity = 1 GiB } }
operator RMSNorm(width) { flops = 1; class = gemm }
policy chunked { local { batching = static; max_requests = 1 } }
model llama2_7b { layers = 1 }
"""


def members_of(members: Members | None) -> Iterator[object]:
    """Yield what a block holds, however deep."""
    if members is None:
        return
    yield from ((key, id(definition)) for key, definition in members.fields.items())
    for key, parts in members.parts.items():
        yield key, [id(part) for part in parts]
    for name, block in members.blocks.items():
        yield name
        yield from members_of(block)


def whole(program: Program) -> object:
    """Return all that a program knows, to compare it with what it knows later."""

    def of(declaration: Declaration) -> object:
        return declaration.name, declaration.bases, list(members_of(declaration.members))

    return (
        [of(declaration) for declaration in program.declarations],
        [list(scope) for scope in program.scopes.values()],
        [list(aliases) for aliases in program.aliases.values()],
        list(program.prelude),
        (list(program.units.units), list(program.units.dimensions)),
        [dict(table) for table in (program.meanings, program.types, program.number_units)],
        (dict(program.defaults), dict(program.parameter_types)),
    )


def test_no_program_changes_the_library() -> None:
    library = checked_library()
    before = whole(library)
    tsdl.check(HIDES)
    for text in PIECES.values():
        examine(text)
    tsdl.compile(ROOT / "examples" / "quickstart.tsim").run()
    tsdl.study(ROOT / "examples" / "studies.tsim", "schedulers")
    assert checked_library() is library
    assert whole(library) == before


@pytest.mark.parametrize("name", ["quickstart", "disaggregated", "prefix_caching", "ranks"])
def test_what_another_program_hides_is_as_it_was(name: str) -> None:
    path = ROOT / "examples" / f"{name}.tsim"
    scenario = first_scenario(path.read_text("utf-8"))
    checked_library.cache_clear()
    alone = tsdl.compile(path, scenario=scenario)
    tsdl.check(HIDES)
    after = tsdl.compile(path, scenario=scenario)
    assert after.fields() == alone.fields()
