"""No broken program makes the compiler fail: good ones, mutated at random and cut off anywhere.

`pytest -m long tests/test_broken_programs.py` tries a hundred times as many.
"""

import random

import pytest

from tests.checked_texts import codes
from tests.good_programs import PIECES
from tests.mutation import mutation


def try_mutations(name: str, count: int) -> None:
    for number in range(count):
        text = mutation(random.Random(f"{name} {number}"), PIECES[name])
        codes(text)


@pytest.mark.parametrize("name", [name for name in PIECES if "units-" not in name])
def test_a_good_program_is_good(name: str) -> None:
    # Units cannot be declared anew; the data of an example are not read here.
    assert {code for code in codes(PIECES[name]) if code[0] == "E"} <= {"E0604"}


@pytest.mark.parametrize("name", PIECES)
def test_mutations(name: str) -> None:
    try_mutations(name, 25 if name.startswith("own-") else 6)


@pytest.mark.long
@pytest.mark.parametrize("name", PIECES)
def test_many_mutations(name: str) -> None:
    try_mutations(name, 1000)


@pytest.mark.parametrize("name", [name for name in PIECES if name.startswith("own-")])
def test_truncations(name: str) -> None:
    text = PIECES[name]
    for end in range(0, len(text), 60):
        codes(text[:end])


@pytest.mark.long
@pytest.mark.parametrize("name", PIECES)
def test_every_truncation(name: str) -> None:
    text = PIECES[name]
    for end in range(len(text)):
        codes(text[:end])
