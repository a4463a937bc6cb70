"""Slips with measured tables: wrong fields, and times of another device or model."""

from pathlib import Path

import pytest

import tsdl
from tests.kernel_tables import QKV, codes, cost_of, program, tables_in
from tsdl.errors import TsdlError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return tables_in(tmp_path, monkeypatch)


# -- fields and values -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cost", "found"),
    [
        ("", ["E0404"]),
        ("operator qkv { at { tokens = tokens } }", ["E0404"]),
        (f'folder = "kernels"; operator qkv {{ {QKV}; time = 1 s }}', ["E0521"]),
        (f'folder = "kernels"; iteration = 1 s; operator qkv {{ {QKV} }}', ["E0521"]),
        (
            'folder = "kernels"; operator qkv { file = "dense.csv"; rows { layer = "qkv" } }',
            ["E0404"],
        ),
        (f'folder = "nowhere"; operator qkv {{ {QKV} }}', ["E0604"]),
        (
            'folder = "kernels"; operator attn { file = "attention.csv"; '
            "at { n = 1; context = contexts }; above { n = 256; context = 16 } }",
            ["E0503"],
        ),
        (f'folder = "kernels"; operator qkv {{ {QKV.replace("qkv", "kqv")} }}', ["E0608", "E0605"]),
        (f'folder = "kernels"; operator qkv {{ {QKV}; value = "time" }}', ["E0602", "E0605"]),
        (f'folder = "kernels"; operator qkw {{ {QKV} }}', ["W0508"]),
        ('folder = "kernels"; operator qkv { file = 3 }', ["E0304"]),
        (f'folder = "kernels"; operator qkv {{ {QKV}; above {{ token = 1 }} }}', ["E0404"]),
        (
            'folder = "kernels"; operator qkv { file = "dense.csv"; at { tokens = 3 } }',
            ["E0608", "E0605"],
        ),
    ],
)
def test_a_slip_is_told(cost: str, found: list[str]) -> None:
    assert codes(program(cost)) == found


@pytest.mark.parametrize(("value", "unit"), [("1e309", "1 us"), ("1e308", "1 h")])
def test_a_value_that_is_too_large_is_said(value: str, unit: str) -> None:
    (Path("kernels") / "dense.csv").write_text(f"layer,tokens,time_us\nqkv,1,{value}\n", "utf-8")
    with pytest.raises(TsdlError, match="E0603"):
        cost_of(program(f'folder = "kernels"; operator qkv {{ {QKV}; unit = {unit} }}'))


# -- of another device or model ----------------------------------------------------------------


def test_a_table_that_is_faster_than_the_device_is_of_another_one(folder: Path) -> None:
    (folder / "dense.csv").write_text("layer,tokens,time_us\nqkv,1,20\nqkv,9,21\n", "utf-8")
    (warning,) = tsdl.check(program(f'folder = "kernels"; operator qkv {{ {QKV} }}'))
    assert warning.code == "W0608"
    assert warning.title == ("`qkv` takes 20 us, and to read its weights takes the device 49.39 us")


def test_parts_that_are_fast_enough_together(folder: Path) -> None:
    """Each reads half of the weights, as it were: only both together are the product."""
    (folder / "half.csv").write_text("tokens,time_us\n1,50\n4096,9000\n", "utf-8")
    half = 'file = "half.csv"; at { tokens = tokens }'
    both = f"operator gate_up {{ part a {{ {half} }}; part b {{ {half} }} }}"
    assert codes(program(f'folder = "kernels"; {both}')) == []
    assert codes(program(f'folder = "kernels"; operator gate_up {{ {half} }}')) == ["W0608"]


ABOUT = 'about { file = "about.yaml"; hardware = "gpu"; model = "model"; devices = "degrees" }'


@pytest.mark.parametrize(
    ("text", "worker", "found"),
    [
        ("gpu: A100\nmodel: x/Llama-2-7b-hf\ndegrees: [1, 4]", "", []),
        ("gpu: A100_40G", "", ["W0609"]),
        ("gpu: A10", "", ["W0609"]),  # which is the beginning of A100 by chance
        ("model: Llama-2-70b", "", ["W0609"]),
        ("degrees: [2, 4]", "", ["E0609"]),
        ("degrees: [2, 4]", "parallel = tp(2)", []),
        ("degrees: [2, 4]", "parallel = tp(4)", ["W0609"]),  # or are they of two?
        ("degrees: [2, 4]", "parallel = ep(1)", ["W0609"]),
        ("degrees: none\ngpu: 7\nmodel: [1]", "", []),  # nothing that could be compared
        ("a: b: c", "", ["W0609"]),
        ("- no mapping", "", ["W0609"]),
        ("&a [*a, " * 20_000, "", ["W0609"]),
    ],
)
def test_what_a_file_says_of_tables_is_compared(
    folder: Path, text: str, worker: str, found: list[str]
) -> None:
    (folder / "about.yaml").write_text(text, "utf-8")
    assert codes(program(f'{ABOUT}; folder = "kernels"; operator qkv {{ {QKV} }}', worker)) == found


@pytest.mark.parametrize(
    ("about", "found"),
    [
        ('hardware = "a100-80gb"; model = "llama2-7b"', []),
        ('hardware = "a100-40gb"', ["W0609"]),
        ('hardware = "h100-80gb"', ["W0609"]),
        ('hardware = "x"; model = "llama2-70b"', ["W0609", "W0609"]),
    ],
)
def test_a_cost_may_say_itself_where_its_tables_are_from(about: str, found: list[str]) -> None:
    text = program(f'about {{ {about} }}; folder = "kernels"; operator qkv {{ {QKV} }}')
    assert codes(text) == found


def test_a_size_of_memory_that_the_device_does_not_name() -> None:
    about = 'about { hardware = "h100-80gb" }; iteration = 20 ms'
    text = program(about).replace("A100_80G", "H100_SXM")
    assert codes(text) == []


def test_a_file_about_tables_that_is_missing() -> None:
    assert codes(program(f'{ABOUT}; folder = "kernels"; operator qkv {{ {QKV} }}')) == ["E0604"]
    assert codes(program(f'{ABOUT}; operator qkv {{ file = "kernels/{QKV[8:]} }}')) == []
