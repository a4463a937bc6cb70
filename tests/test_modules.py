"""Imports: relative to the importing file, under a name or bare, never in a ring."""

from tsdl.diagnostics import Sink
from tsdl.program import Program
from tsdl.session import Session


def compiled(files: dict[str, str], root: str = "a.tsim") -> tuple[Program, Sink]:
    def read(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[path]

    return Session(root, files[root], read).compile()


def codes(files: dict[str, str]) -> list[str]:
    return [d.code for d in compiled(files)[1].sorted()]


def test_names_of_an_import_stand_bare() -> None:
    assert not codes(
        {
            "a.tsim": 'import "lib/b.tsim"\nhardware mine from theirs { price = 1 USD }',
            "lib/b.tsim": "hardware theirs from A100_80G {}",
        }
    )


def test_an_alias_keeps_names_apart() -> None:
    files = {
        "a.tsim": 'import "b.tsim" as b\nhardware theirs from b.theirs {}',
        "b.tsim": "hardware theirs from A100_80G {}",
    }
    assert not codes(files)
    files["a.tsim"] = 'import "b.tsim" as b\nhardware mine from theirs {}'
    assert codes(files) == ["E0201"]


def test_paths_are_relative_to_the_importing_file() -> None:
    assert not codes(
        {
            "a.tsim": 'import "lib/b.tsim"',
            "lib/b.tsim": 'import "../c.tsim"\nhardware b from c {}',
            "c.tsim": "hardware c from A100_80G {}",
        }
    )


def test_imports_are_not_passed_on() -> None:
    assert codes(
        {
            "a.tsim": 'import "b.tsim"\nhardware a from c {}',
            "b.tsim": 'import "c.tsim"',
            "c.tsim": "hardware c from A100_80G {}",
        }
    ) == ["E0201"]


def test_a_ring_is_shown_whole() -> None:
    _, sink = compiled(
        {"a.tsim": 'import "b.tsim"', "b.tsim": 'import "c.tsim"', "c.tsim": 'import "a.tsim"'}
    )
    (found,) = sink.found
    assert found.code == "E0204"
    assert found.notes == ("a.tsim → b.tsim → c.tsim → a.tsim",)


def test_a_diamond_is_no_ring() -> None:
    assert not codes(
        {
            "a.tsim": 'import "b.tsim"\nimport "c.tsim"\nhardware a from d {}\nimport "d.tsim"',
            "b.tsim": 'import "d.tsim"',
            "c.tsim": 'import "d.tsim"',
            "d.tsim": "hardware d from A100_80G {}",
        }
    )


def test_what_cannot_be_read_makes_one_error() -> None:
    files = {"a.tsim": 'import "gone.tsim"\nhardware a from gone {}\nhardware b from gone {}'}
    assert codes(files) == ["E0203"]


def test_two_imports_of_one_name_are_an_error() -> None:
    assert codes(
        {
            "a.tsim": 'import "b.tsim"\nimport "c.tsim"',
            "b.tsim": "hardware x from A100_80G {}",
            "c.tsim": "hardware x from A100_80G {}",
        }
    ) == ["E0202"]
