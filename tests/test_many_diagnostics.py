"""Many diagnostics on a terminal: which are shown, and the line that counts them."""

from tests.sample_diagnostics import BANDWIDTH, NODE, PLACELESS, REMARK, WARNING, at, error
from tsdl.diagnostics.text import render, render_all


def test_all_nothing() -> None:
    assert render_all([]) == ""


def test_all_the_whole() -> None:
    assert render_all([PLACELESS, WARNING, BANDWIDTH]) == "\n\n".join(
        [
            render(PLACELESS),
            render(WARNING),
            render(BANDWIDTH),
            "error: 2 errors, 1 warning\n  = explain: tsdl explain E0101 (also E0301)",
        ]
    )


def test_all_one_is_not_several() -> None:
    last = "error: 1 error\n  = explain: tsdl explain E0301"
    assert render_all([BANDWIDTH]).endswith(f"\n\n{last}")


def test_all_the_worst_comes_first() -> None:
    assert render_all([WARNING, WARNING]).endswith("\n\nwarning: 2 warnings")
    assert render_all([REMARK]) == "note[W9902]: by the way\n\nnote: 1 note"
    assert render_all([REMARK, WARNING, PLACELESS]).splitlines()[-2] == (
        "error: 1 error, 1 warning, 1 note"
    )


def test_all_what_is_over_the_limit_is_counted() -> None:
    many = [error(at(NODE, "A100"), title=f"wrong {number}") for number in range(23)]
    text = render_all(many)
    assert text.count("error[E0301]") == 20
    assert "wrong 19" in text
    assert "wrong 20" not in text
    assert text.splitlines()[-2] == "error: 23 errors (3 more not shown)"
    assert "not shown" not in render_all(many, limit=23)


def test_all_an_error_is_never_hidden_behind_warnings() -> None:
    text = render_all([WARNING, WARNING, BANDWIDTH, WARNING], limit=2)
    assert text.split("\n\n")[:2] == [render(WARNING), render(BANDWIDTH)]
    assert "error: 1 error, 3 warnings (2 more not shown)" in text


def test_all_colors() -> None:
    text = render_all([BANDWIDTH], color=True)
    assert text.startswith(render(BANDWIDTH, color=True))
    assert "\x1b[1;31merror:\x1b[0m\x1b[1m 1 error\x1b[0m\n" in text
