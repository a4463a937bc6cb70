"""`let` in a block: a name for a value, for its own formulas and those of what is derived."""

import pytest

import tsdl
from tests.priced import text_of
from tsdl.plan import Stage

RAW = """
operator Tiled(k, n) {
  part first {
    flops = 2 * tokens * k * n * round_up(tokens, 128) / tokens
    bytes = 3 * round_up(tokens, 128) * k
    class = gemm
  }
  part more { flops = round_up(tokens, 128) * k * 2; when = round_up(tokens, 128) > 128 }
}
"""
NAMED = """
operator Tiled(k, n) {
  part first {
    flops = 2 * tokens * k * n * rows_up / tokens
    bytes = 3 * rows_up * k
    class = gemm
  }
  let rows_up = round_up(tokens, tile)  # what stands in front of it may read it, too
  let tile    = 128
  part more {
    let work = rows_up * k
    flops = work * 2
    when  = rows_up > tile
  }
}
"""


def kernels(text: str, operator: str = "Tiled(4096, 1024)") -> tuple[Stage, ...]:
    model = f"model own from llama2_7b {{ graph {{ one: {operator} }} }}"
    return tsdl.compile(f"{text_of('own')}\n{model}\n{text}").workers[0].cost.stages


def test_formulas_are_those_of_what_is_written_out() -> None:
    assert kernels(NAMED) == kernels(RAW)


def test_what_is_derived_may_name_another_value() -> None:
    smaller = RAW.replace("128", "32")
    derived = f"{NAMED}\noperator Small(k, n) from Tiled(k, n) {{ let tile = 32 }}\n"
    assert kernels(derived, "Small(4096, 1024)") == kernels(smaller)
    assert kernels(derived) == kernels(RAW)
    halved = f"operator Half(k, n) from Tiled(k, n) {{ let tile = base.tile / 4 }}\n{NAMED}"
    assert kernels(halved, "Half(4096, 1024)") == kernels(smaller)


def test_two_bases_with_one_of_its_own_over_another_agree() -> None:
    text = f"{NAMED}\noperator Small(k, n) from Tiled(k, n) {{ let tile = 32 }}\n"
    text += "operator Last(k, n) from Tiled(k, n), Small(k, n) {}\n"
    assert kernels(text, "Last(4096, 1024)") == kernels(RAW.replace("128", "32"))


def test_a_base_may_stand_behind_what_is_derived_from_it() -> None:
    later = (
        "operator Same(k, n) from Tiled(k, n) { part first { bytes = 3 * rows_up * k } }\n" + NAMED
    )
    assert kernels(later, "Same(4096, 1024)") == kernels(RAW)


def test_blocks_of_all_kinds_name_values() -> None:
    plan = tsdl.compile(
        """
        hardware Card from A100_80G {
          let share = 50 %
          compute.fp16     = base.compute.fp16 * share
          memory.bandwidth = base.memory.bandwidth * share
        }
        model wide from llama2_7b { let times = 2; hidden = 4096 * times; heads = 32 * times }
        policy few from continuous {
          local {
            let most = 1000 tokens
            admit r when r.prompt < most
            on iteration(batch, w) { let most = 3; log most }
          }
        }
        workload short from sharegpt {
          let half = 64 tokens; prompt = constant(2 * half); requests = 5
        }
        cluster pair { let each = 1; worker gpu { hardware = Card; parallel = tp(2 * each) } }
        slo quick { let first = 2 s; ttft <= first }
        scenario s {
          let bound = 2 s
          model = wide; cluster = pair; workload = short; policy = few; slo = quick
          expect p99(ttft) <= bound
        }
        """
    )
    (gpu,) = plan.workers
    assert gpu.peak_compute == 156e12
    assert gpu.devices == 2
    result = plan.run()
    assert list(result.requests["prompt"]) == [128] * 5
    assert result.passed
    assert {text for _, text in result.log} == {"3"}


THREE = "operator A(k) { let z = 3; flops = z }\n"


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("operator A(k) { let flops = 3 }", "E0206", "flops"),
        ("operator A(k) { let k = 3 }", "E0206", "k"),
        ("operator A(k) { let contexts = 3 }", "E0206", "contexts"),
        ("operator A(k) { let part = 3 }", "E0206", "part"),
        ("operator A(k) { let z = 1; let z = 2 }", "E0403", "z"),
        ("operator A(k) { let z = y; let y = z; flops = y }", "E0501", "y"),
        ("operator A(k) { let z = z }", "E0201", "z"),
        ("operator A(k) { let z = 3 s; flops = z }", "E0301", "z"),
        ("hardware H from A100_80G { let z = 3 }\nparam p = H.z", "E0307", "z"),
        ("hardware H from A100_80G { compute { let fp16 = 3 } }", "E0406", "let fp16 = 3"),
        ("workload w from sharegpt { let z = 3 }\nworkload v from w(z = 4) {}", "E0305", "z = 4"),
        ("operator A(k) { part p { let z = 3 }; flops = z }", "E0201", "z"),
        ("operator A(k) { part p { let contexts = 3 } }", "E0206", "contexts"),
        (f"{THREE}operator B(k, z = 2) from A(k) {{}}", "E0206", "z = 2"),
        (f"{THREE}operator B(k) from A(k) {{ let z = 3 s }}", "E0301", "3 s"),
        (f"{THREE}operator B(k) from A(k) {{ let z = A100_80G }}", "E0304", "A100_80G"),
        (f"{THREE}operator B(k) from A(k) {{ let y = 3 }}", "W0202", "y"),
        ("operator A(k) { let z = 3; part p { let z = 2 } }", "W0202", "z"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(text: str, code: str, place: str) -> None:
    found = next(d for d in tsdl.check(text) if d.code != "W0202" or code == "W0202")
    assert (found.code, found.span.text if found.span else "") == (code, place)


def test_what_only_the_run_knows_has_its_place_in_formulas_alone() -> None:
    text = "operator A(k) { let z = 2 * tokens; weights = z }\n"
    text += "model own from llama2_7b { graph { one: A(3) } }\n"
    text += "scenario s { model = own; cluster = single(A100_80G); workload = sharegpt }"
    with pytest.raises(tsdl.TsdlError) as caught:
        tsdl.compile(text)
    assert [d.code for d in caught.value.diagnostics] == ["E0502"]
