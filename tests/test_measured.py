"""Measured runs: what is read of each format, and what is said of a file that cannot be."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tsdl.diagnostics import Sink
from tsdl.measured import Request, Run, read_run

VLLM: dict[str, Any] = {
    "date": "20260425-184718",
    "duration": 12.5,
    "request_rate": 4.0,
    "max_concurrency": None,
    "input_lens": [10, 20, 30],
    "output_lens": [3, 0, 1],
    "ttfts": [0.5, 0.0, 0.25],
    "itls": [[0.125, 0.375], [], []],
    "errors": ["", "Timeout", ""],
    "start_times": [100.0, 101.0, 102.0],
}


def read(
    text: str, form: str = "auto", columns: Mapping[str, str] | None = None
) -> tuple[Run | None, Sink]:
    sink = Sink()
    return read_run("run", text, form, columns or {}, sink), sink


def good(text: str, form: str = "auto", columns: Mapping[str, str] | None = None) -> Run:
    run, sink = read(text, form, columns)
    assert not sink.found
    assert run is not None
    return run


def stamps(arrived: float, queued: float, first: float, last: float, output: int = 5) -> str:
    return json.dumps(
        {
            "input_toks": 6,
            "output_toks": output,
            "arrival_time": arrived,
            "queued_ts": queued,
            "first_token_ts": first,
            "last_token_ts": last,
        }
    )


# LLMServingSim.


def test_both_clocks_are_brought_together_by_the_least_difference() -> None:
    epoch = 1_767_225_600.0
    run = good(
        f"{stamps(epoch, 50.25, 51.0, 53.0)}\n{stamps(epoch + 1, 51.0, 52.0, 52.0, output=1)}\n"
    )
    # The second was noticed at once: the engine's clock is 50.0 where the front end's is 0.
    first, second = run.requests
    assert first == Request(0.0, 6, 5, ttft=1.0, e2e=3.0, tpot=0.5, queued_ttft=0.75)
    assert (second.arrived, second.ttft, second.queued_ttft) == (1.0, 1.0, 1.0)
    assert math.isnan(second.tpot)
    assert (run.format, run.date, run.duration, run.timed) == (
        "llmservingsim",
        "2026-01-01",
        3,
        True,
    )


def test_requests_are_put_in_the_order_of_arrival() -> None:
    run = good(f"{stamps(9, 9, 11, 12, output=2)}\n{stamps(8, 8, 10, 11, output=3)}\n")
    assert [r.output for r in run.requests] == [3, 2]
    assert [r.arrived for r in run.requests] == [0, 1]


def test_runs_of_real_engines(data: Path) -> None:
    for path in sorted((data / "measured").glob("vllm-*/requests.jsonl")):
        run = good(path.read_text("utf-8"))
        assert len(run.requests) == 300
        assert run.left_out == 0
        assert all(0 < r.queued_ttft <= r.ttft + 1e-6 <= r.e2e for r in run.requests)


def test_clocks_of_other_units_are_told() -> None:
    run, sink = read(f"{stamps(0, 0, 1000, 2000)}\n{stamps(2, 2000, 3000, 4000)}")
    assert run is None
    assert "one of them is in other units" in sink.found[0].title


def test_one_request_that_moves_both_clocks_is_told() -> None:
    lines = [stamps(i, i + 0.001 * (i % 3), i + 1, i + 2) for i in range(9)]
    good("\n".join(lines))
    lines[5] = stamps(5, 1.0, 6, 7)
    run, sink = read("\n".join(lines))
    (warning,) = sink.found
    assert run is not None
    assert warning.code == "W0611"
    assert warning.title.startswith("`queued_ts` is 4 s earlier here")
    assert warning.span is not None
    assert warning.span.source.position(warning.span.start)[0] == 6


def test_requests_that_are_there_twice_are_told() -> None:
    lines = [
        json.dumps({"request_id": f"r{i % 3}", **json.loads(stamps(i, i, i + 1, i + 2))})
        for i in range(5)
    ]
    good("\n".join(lines[:3]))
    run, sink = read("\n".join(lines))
    (warning,) = sink.found
    assert run is not None
    assert len(run.requests) == 5
    assert run.doubts == (warning,)
    assert warning.title.startswith("the `request_id` 'r0' is that of line 1, too, and 1 more ")


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        (stamps(0, 2, 1, 2), "E0603", "`queued_ts` is after `first_token_ts`"),
        ('{"input_toks": 1, "output_toks": 1, "arrival_time_ns": 5}', "E0602", "no `arrival_time`"),
        (f"{stamps(0, 0, 1, 2)}\n{{", "E0603", "not JSON"),
        (f"{stamps(0, 0, 1, 2)}\n[]", "E0603", "a JSON object"),
        (f"{stamps(0, 0, 1, 2)}\n{stamps(0, 0, 2, 1)}", "E0603", "before the first"),
        (f"{stamps(0, 0, 1, 2)}\n{stamps(0, 0, -1, 2)}", "E0603", "not negative"),
        (f"{stamps(0, 0, 1, 2)}\n{stamps(0, math.inf, 1, 2)}", "E0603", "finite"),
        (f"{stamps(0, 0, 1, 2)}\n{stamps(0, 0, 1, 2, output=0)}", "E0603", "from 1"),
        (f"{stamps(0, 0, 1, 2)}\n" + '{"input_toks": "x"}', "E0603", "has no `output_toks`"),
        (stamps(1_767_225_600_000, 0, 1, 2), "E0603", "not seconds since 1970"),
        (stamps(-9e10, 0, 1, 2), "E0603", "`arrival_time` is -90000000000.0: a time is not neg"),
        (f"{stamps(0, 0, 1, 2)}\n{stamps(0, -1, 1, 2)}", "E0603", "`queued_ts` is -1: a time"),
    ],
)
def test_a_wrong_line_is_told(text: str, code: str, reason: str) -> None:
    run, sink = read(text)
    assert run is None
    (found,) = sink.found
    assert (found.code, reason in found.title) == (code, True), found.title
    assert found.span is not None
    assert found.span.source.position(found.span.start)[0] == text.count("\n") + 1


# vLLM's benchmark.


def test_vllm_end_to_end_is_the_first_token_and_all_gaps() -> None:
    run = good(json.dumps(VLLM))
    first, second = run.requests
    assert first == Request(0.0, 10, 3, 0.5, 1.0, 0.25, first.queued_ttft, (0.125, 0.375))
    assert (second.arrived, second.prompt, second.e2e) == (2.0, 30, 0.25)
    assert math.isnan(second.tpot)
    assert (run.format, run.date, run.duration, run.left_out) == ("vllm", "2026-04-25", 12.5, 1)


def test_vllm_of_old_does_not_say_when_requests_started() -> None:
    old = {key: value for key, value in VLLM.items() if key != "start_times"}
    for without in (old, VLLM | {"start_times": []}, VLLM | {"start_times": None, "errors": None}):
        assert not good(json.dumps(without)).timed
    assert good(json.dumps(old | {"request_rate": "inf"})).timed
    assert not good(json.dumps(old | {"request_rate": "inf", "max_concurrency": 2})).timed


@pytest.mark.parametrize(
    ("changed", "code", "reason"),
    [
        ({"ttfts": None}, "E0607", "no list `ttfts`"),
        ({"ttfts": [1.0]}, "E0607", "`ttfts` 1"),
        ({"input_lens": []}, "E0607", "`output_lens` 3"),
        ({"ttfts": ["x", 0, 0.25]}, "E0603", "request 0 (from 0): `ttfts` has 'x'"),
        ({"itls": [[], [], []]}, "E0603", "not streamed"),
        ({"itls": [3, [], []]}, "E0603", "no list"),
        ({"itls": [[None], [], []]}, "E0603", "`itls` has null, which is no number"),
        ({"itls": [[True], [], []]}, "E0603", "`itls` has true"),
        ({"ttfts": [math.nan, 0, 0.25]}, "E0603", "`ttfts` has NaN, which is no number"),
        ({"input_lens": [20.5, 20, 30]}, "E0603", "`input_lens` has 20.5: a length is a whole num"),
        ({"output_lens": [2.5, 0, 1]}, "E0603", "`output_lens` has 2.5: a length is a whole num"),
        ({"input_lens": [True, 20, 30]}, "E0603", "`input_lens` has true: not a number"),
        ({"input_lens": [0, 20, 30]}, "E0603", "from 1"),
        ({"ttfts": [-1, 0, 0.25]}, "E0603", "not negative"),
        ({"output_lens": [0, 0, 0]}, "E0601", "3 failed"),
        ({"itls": [[-0.125, 0.5], [], []]}, "E0603", "request 0 (from 0): `itl` is -0.125 s"),
        ({"ttfts": [], "itls": []}, "E0607", "`ttfts` 0"),
        ({"output_lens": []}, "E0607", "`output_lens` 0"),
        ({"errors": 5}, "E0607", "`errors` of a result is a list"),
        ({"errors": {"a": 1}}, "E0607", "`errors` of a result is a list"),
        ({"start_times": {"a": 1}}, "E0607", "`start_times` of a result is a list"),
        ({"start_times": [1.0]}, "E0607", "`start_times` 1"),
        ({"duration": -3}, "E0607", "`duration` is -3"),
        ({"duration": "long"}, "E0607", "`duration` is 'long'"),
        ({"duration": True}, "E0607", "`duration` is true"),
        ({"duration": 10**400}, "E0607", "`duration` is 1000"),
    ],
)
def test_a_wrong_result_is_told(changed: dict[str, object], code: str, reason: str) -> None:
    run, sink = read(json.dumps(VLLM | changed))
    assert run is None
    assert sink.found[0].code == code
    assert reason in sink.found[0].title


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("changed", "there"),
    [
        ({"ttfts": [0.5, 0.0, None]}, "null"),
        ({"itls": [[0.125, True], [], []]}, "[0.125, true]"),
        ({"input_lens": [10, 20, 30.5]}, "30.5"),
        ({"start_times": [0.0, 1.0, "x"]}, '"x"'),
        ({"ttfts": [0.5, 0.0, -0.25]}, "-0.25"),
    ],
)
def test_the_place_of_what_is_wrong_is_told(
    changed: dict[str, Any], there: str, indent: int | None
) -> None:
    """Also behind a text that spells the list's name."""
    text = json.dumps({"generated_texts": ['"ttfts": [1]']} | VLLM | changed, indent=indent)
    (error,) = read(text)[1].found
    assert error.span is not None
    assert "".join(error.span.text.split()) == "".join(there.split())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "property name"),
        ("[1]", "one JSON object"),
        ("{}", "no list"),
        (json.dumps(VLLM) * 2, "more than one JSON document"),
        ("[" * 100_000, "nested"),
        ('{"ttfts": [' + "9" * 5000 + "]}", "digits"),
    ],
)
def test_what_is_no_result(text: str, reason: str) -> None:
    run, sink = read(text)
    assert run is None
    assert [d.code for d in sink.found] == ["E0607"]
    assert reason in sink.found[0].title


# CSV.


def test_the_columns_of_a_table_follow_from_one_another() -> None:
    wanted = (0.5, 2.5, 0.5)
    for header, row in (
        ("arrived,prompt,output,ttft,e2e,tpot", "7,8,5,0.5,2.5,0.5"),
        ("arrived,prompt,output,ttft_ms,e2e_s", "7,8,5,500,2.5"),
        ("output,prompt,arrived,ttft,tpot_us", "5,8,7,0.5,500000"),
        ("arrived,prompt,output,e2e,tpot", "7,8,5,2.5,0.5"),
    ):
        (found,) = good(f"{header}\n{row}\n").requests
        assert (found.ttft, found.e2e, found.tpot) == pytest.approx(wanted)
        assert (found.arrived, found.prompt, found.output) == (0, 8, 5)


def test_times_that_are_rounded_do_not_contradict_one_another() -> None:
    (found,) = good("prompt,output,ttft_ms,tpot_ms,e2e_ms\n8,101,25,10,1066\n").requests
    assert (found.tpot, found.e2e) == pytest.approx((0.01, 1.066))


def test_of_two_columns_one_is_meant() -> None:
    text = "prompt,output,ttft,ttft_ms\n1,3,.1,700\n"
    assert good(text, columns={"ttft": "ttft_ms"}).requests[0].ttft == pytest.approx(0.7)


def test_columns_by_other_names() -> None:
    text = "at_ms,in,out,first\n1000,8,5,0.5\n3000,8,5,0.25\n"
    names = {"arrived": "at_ms", "prompt": "in", "output": "out", "ttft": "first"}
    run = good(text, columns=names)
    assert [(r.arrived, r.ttft) for r in run.requests] == [(0, 0.5), (2, 0.25)]
    assert math.isnan(run.duration)


def test_rows_without_times_failed() -> None:
    run = good("prompt,output,ttft,e2e\n8,5,,\n8,5,1,2\n")
    assert (run.left_out, len(run.requests), run.timed) == (1, 1, False)


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("", "E0601", "no rows"),
        ("prompt,output,ttft\n", "E0601", "answered"),
        ("prompt,ttft\n1,1\n", "E0602", "no column `output`"),
        ("prompt,output\n1,1\n", "E0602", "`ttft`, `e2e` or `tpot`"),
        ("prompt,output,ttft\n1,x,1\n", "E0603", "`output` is 'x': not a number"),
        ("prompt,output,ttft\n1,1,soon\n", "E0603", "`ttft` is 'soon': not a number"),
        ("arrived,prompt,output,ttft\n,1,1,1\n", "E0603", "`arrived` is ''"),
        ("prompt,output,ttft,e2e\n1,2,3,2\n", "E0603", "before the first"),
        ("prompt,output,ttft,tpot,e2e\n1,3,.1,.1,9\n", "E0603", "come to 0.3 s, and `e2e` is 9 s"),
        ("prompt,output,ttft,ttft_ms\n1,3,.1,700\n", "E0601", "`ttft` and `ttft_ms` for `ttft`"),
        ("prompt,output,ttft_ms\n" + "1,1,-1\n" * 1000, "E0603", "not negative"),
    ],
)
def test_a_wrong_table_is_told(text: str, code: str, reason: str) -> None:
    run, sink = read(text)
    assert run is None
    assert 1 <= len(sink.found) <= 10
    assert sink.found[0].code == code
    assert reason in sink.found[0].title


def test_a_column_that_is_named_must_be_there() -> None:
    _, sink = read("prompt,output,ttft\n1,1,1\n", columns={"e2e": "total"})
    assert "`total`" in sink.found[0].title


@pytest.mark.parametrize(
    ("text", "columns", "named", "timed"),
    [
        ("prompt,output\n1,1\n", {}, "under another name: `--column ttft=HEADER`", True),
        ("output,ttft\n1,1\n", {}, "under another name: `--column prompt=HEADER`", False),
        ("prompt,output,ttft\n1,1,1\n", {"e2e": "total"}, "name: `--column e2e=HEADER`", True),
        ("a,ttft\n1,1\n", {}, "`--column prompt=HEADER --column output=HEADER`", False),
    ],
)
def test_help_names_the_columns_that_are_missing(
    text: str, columns: dict[str, str], named: str, *, timed: bool
) -> None:
    (error,) = read(text, columns=columns)[1].found
    assert error.help[0].endswith(named)
    assert ("times are in seconds" in error.help[-1]) == timed


@pytest.mark.parametrize(
    ("text", "form", "meant"),
    [
        (json.dumps(VLLM), "csv", "vllm"),
        (json.dumps(VLLM), "llmservingsim", "vllm"),
        (stamps(0, 0, 1, 2), "vllm", "llmservingsim"),
        (stamps(0, 0, 1, 2), "csv", "llmservingsim"),
        ("prompt,output,ttft\n1,1,1\n", "vllm", "csv"),
        ("prompt,output,ttft\n1,1,1\n", "llmservingsim", "csv"),
    ],
)
def test_another_format_than_the_one_named_is_told(text: str, form: str, meant: str) -> None:
    run, sink = read(text, form)
    (error,) = sink.found
    assert (run, error.code) == (None, "E0607")
    assert error.title == f"this is no file of the format `{form}`: it looks like one of `{meant}`"
    assert f"`--run-format {meant}`" in error.help[0]
    assert read(text, meant)[0] is not None


def test_columns_are_those_of_csv_files() -> None:
    run, sink = read(json.dumps(VLLM), columns={"ttft": "first"})
    (error,) = sink.found
    assert (run, error.code) == (None, "E0602")
    assert "names of its own" in error.title


def test_the_sample_beside_the_examples() -> None:
    run = good((ROOT / "examples" / "data" / "measured_sample.jsonl").read_text("utf-8"))
    assert len(run.requests) == 120


def test_rows_that_are_separated_otherwise_have_too_few_cells() -> None:
    run, sink = read("arrived,prompt,output,ttft,e2e\n0;5;6;0.1;0.5\n")
    (error,) = sink.found
    assert (run, error.code) == (None, "E0603")
    assert error.title == "the row has 1 cell, and none for `prompt`"


def test_a_table_in_another_unit_is_told() -> None:
    slow = "prompt,output,ttft,tpot\n700,40,61,10\n700,40,60,11\n"
    _, sink = read(slow)
    (warning,) = sink.found
    assert (warning.code, warning.title) == (
        "W0611", "half of the requests take 10.5 s and more for each token",
    )  # fmt: skip
    assert not read(slow.replace("ttft,tpot", "ttft_ms,tpot_ms"))[1].found


@pytest.mark.parametrize(
    ("header", "row", "title"),
    [
        ("prompt,output,ttft", "700,40,61", "no first token came before 61 s"),
        ("prompt,output,e2e", "700,40,900", "requests take 22.5 s for each token on average"),
        ("prompt,output,ttft,e2e", "700,40,61,900", "half of the requests take 21.51 s and more"),
        ("prompt,output,ttft_ms", "700,40,0.061", "no more than 61 us to their first token"),
        ("prompt,output,e2e_ms", "700,40,0.9", "no more than 22.5 us for each token"),
        ("prompt,output,ttft_ms,tpot_ms", "700,40,0.1,0.02", "no more than 20 us for each token"),
        ("prompt,output,ttft", "20000,40,61", ""),  # an engine that is slow with long prompts
        ("prompt,output,ttft,e2e", "700,4,9,60", "17 s and more for each token"),
        ("prompt,output,ttft,e2e", "700,4,50,51", "no first token"),
        ("prompt,output,e2e", "700,40,60", ""),
        ("prompt,output,ttft,e2e", "700,1,0.06,0.06", ""),
    ],
)
def test_times_that_no_server_takes_are_told(header: str, row: str, title: str) -> None:
    _, sink = read(f"{header}\n" + f"{row}\n" * 5)
    assert [title in warning.title for warning in sink.found] == ([True] if title else [])
    assert {warning.code for warning in sink.found} <= {"W0611"}


@pytest.mark.parametrize(
    ("changed", "title"),
    [
        ({"ttfts": [500.0, 0.0, 0.25]}, "a request took 500.5 s, and the whole run 12.5 s"),
        (
            {"start_times": [-1e6, 101.0, 102.0]},
            "between two arrivals 1e+06 s pass, and all the rest takes 1 s",
        ),
        (
            {"start_times": [0.0, 20.0, 40.0]},
            "requests arrive for 40 s, and the whole run takes 12.5 s",
        ),
    ],
)
def test_a_run_that_contradicts_itself_is_told(changed: dict[str, Any], title: str) -> None:
    run, sink = read(json.dumps(VLLM | changed))
    (warning,) = sink.found
    assert run is not None
    assert (warning.code, warning.title) == ("W0611", title)
