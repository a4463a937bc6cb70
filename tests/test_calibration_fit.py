"""The parts of a calibration: priors, slopes where a simulation jumps, the fit."""

import math
from functools import cache

import numpy as np
import pytest

from tests.conftest import ROOT
from tsdl.calibration.fit import fit
from tsdl.calibration.forward import Floats, Forward
from tsdl.calibration.priors import NEW_TIME, Factor, factor_of, matching
from tsdl.calibration.slopes import neighbourhood
from tsdl.constants import Constant
from tsdl.diagnostics import Sink
from tsdl.session import Session, choose_scenario

EXAMPLE = ROOT / "examples" / "measured.tsim"
BANDWIDTHS = "hardware.efficiency.gemm.bandwidth+hardware.efficiency.attention.bandwidth"
OVERHEAD = "policy.local.overhead"


@pytest.fixture
def scipy() -> None:
    """Skip the test where there is no scipy."""
    pytest.importorskip("scipy", reason="needs scipy: pip install -e '.[calibrate]'")


@cache
def constants() -> list[Constant]:
    found = choose_scenario(Session(str(EXAMPLE), EXAMPLE.read_text("utf-8")), Sink(), {})
    assert found is not None
    return found.constants()


def constant(name: str) -> Constant:
    (found,) = [c for c in constants() if c.short == name]
    return found


# What is fitted.


def test_the_width_of_a_prior_follows_from_the_kind_of_number() -> None:
    share = factor_of("x", [constant("hardware.efficiency.gemm.compute")])
    assert (share.width, share.starts) == (0.15, (0.739,))
    assert share.high == pytest.approx(math.log(1 / 0.739))
    assert share.low == -0.6
    launch = factor_of("x", [constant("hardware.efficiency.gemm.overhead")])
    assert (launch.width, launch.high) == (math.log(2), 4 * math.log(2))
    new = factor_of("x", [constant(OVERHEAD)])
    assert (new.width, new.starts) == (1.5, (NEW_TIME,))
    assert factor_of("x", [constant("hardware.efficiency.gemm.sharpness")]).width == 0.3


def test_constants_of_one_factor_keep_their_ratio_and_their_bounds() -> None:
    found = matching("hardware.efficiency.*.compute", constants())
    factor = factor_of("x", found)
    assert factor.high == pytest.approx(math.log(1 / max(factor.starts)))
    values = factor.values(0.05)
    assert np.array(values) / factor.starts == pytest.approx(math.exp(0.05))
    assert max(factor.values(1.0)) == 1.0


def test_of_several_constants_those_that_the_plan_reads_are_fitted() -> None:
    text = "scenario it { model = gpt_oss_20b; cluster = single(H100_SXM); workload = sharegpt }"
    chosen = choose_scenario(Session("it.tsim", text), Sink(), {})
    assert chosen is not None
    several = matching("hardware.efficiency.grouped_gemm*.compute", chosen.constants())
    assert len(several) > 3
    read = Forward(chosen, []).read(several)
    assert [c.path for c in read] == ["efficiency.grouped_gemm.widened.mxfp4.compute"]


def test_times_of_zero_stay_so_beside_others() -> None:
    both = [constant(OVERHEAD), constant("hardware.efficiency.gemm.overhead")]
    assert factor_of("x", both).constants == (both[1],)


def test_what_is_zero_and_no_time_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="above 0"):
        factor_of("x", [constant("policy.local.watermark")])


def test_names_of_constants() -> None:
    known = constants()
    patterns = (
        BANDWIDTHS, "hardware.A100_80G.efficiency.gemm.*", "hardware.H100_SXM.efficiency.gemm.*",
    )  # fmt: skip
    # Of numbers: what a constant is shown as holds all of its program.
    assert [len(matching(pattern, known)) for pattern in patterns] == [2, 4, 0]


def test_times_and_shares_have_no_factor_in_common() -> None:
    with pytest.raises(ValueError, match="times and shares"):
        factor_of("x", matching("hardware.A100_80G.efficiency.gemm.*", constants()))


# Slopes.


def jumping(place: Floats, size: float) -> Floats:
    """Return a plane of 40 values that jumps by its place: the same again for the same place."""
    random = np.random.default_rng(abs(hash(place.tobytes())) % 2**32)
    slopes = np.linspace(-1, 1, 40 * len(place)).reshape(40, -1)
    return slopes @ place + size * random.standard_normal(40)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 8])
def test_a_plane_is_found_as_it_is(count: int) -> None:
    far = np.full(count, 9.0)
    found = neighbourhood(
        lambda x: jumping(x, 0.0), np.full(count, 0.3), np.full(count, 0.1), -far, far
    )
    assert found.slopes == pytest.approx(
        jumping(np.eye(count), 0.0) if count == 0 else found.slopes
    )
    assert found.slopes == pytest.approx(np.linspace(-1, 1, 40 * count).reshape(40, -1))
    assert found.noise == pytest.approx(0, abs=1e-12)


def test_a_bound_moves_the_corners_and_not_the_slopes() -> None:
    low, high = np.array([0.0, -9.0]), np.array([0.3, 9.0])
    found = neighbourhood(
        lambda x: jumping(x, 0.0), np.array([0.3, 0.0]), np.array([0.1, 0.1]), low, high
    )
    assert found.slopes == pytest.approx(np.linspace(-1, 1, 80).reshape(40, 2))


def test_jumps_alone_inform_of_nothing() -> None:
    random = np.random.default_rng(5)
    far = np.full(3, 9.0)
    found = neighbourhood(
        lambda _: random.standard_normal(400), np.zeros(3), np.full(3, 0.1), -far, far
    )
    assert found.noise.mean() == pytest.approx(1, abs=0.1)
    pretended = found.slopes.T @ found.slopes
    left = found.information(np.ones(400))
    assert np.trace(left) < 0.2 * np.trace(pretended)
    assert np.linalg.eigvalsh(left).min() >= -1e-9 * np.trace(pretended)


# The fit.


def plain_factors(count: int, *, high: float = 4.0) -> list[Factor]:
    return [Factor(f"f{i}", (), (), 1.0, -4.0, high) for i in range(count)]


def linear(x: Floats) -> Floats:
    matrix = np.column_stack([np.ones(60), np.linspace(-1, 1, 60)])
    scatter = 0.01 * np.sin(np.arange(60) * 2.4)
    found: Floats = matrix @ (x - np.array([0.7, -1.1])) + scatter
    return found


@pytest.mark.usefixtures("scipy")
def test_a_linear_problem_is_solved() -> None:
    found = fit(plain_factors(2), linear, [slice(0, 60)])
    assert found.mean == pytest.approx([0.7, -1.1], abs=5e-3)
    # Of 60 values that scatter by 0.01 · 0.7: the mean is known to 0.007 / √60 · √1.5.
    assert 3e-4 < found.deviations[0] < 3e-3
    assert found.deviations[1] == pytest.approx(found.deviations[0] * math.sqrt(3), rel=0.1)


@pytest.mark.usefixtures("scipy")
def test_outliers_count_little() -> None:
    def spoilt(x: Floats) -> Floats:
        found = linear(x)
        found[::15] += 1.5
        return found

    assert fit(plain_factors(2), spoilt, [slice(0, 60)]).mean == pytest.approx(
        [0.7, -1.1], abs=0.02
    )


@pytest.mark.usefixtures("scipy")
def test_bounds_and_priors_hold() -> None:
    bound = fit(plain_factors(2, high=0.5), linear, [slice(0, 60)])
    assert bound.mean[0] == pytest.approx(0.5, abs=1e-6)
    nothing = fit(plain_factors(2), lambda x: 0 * linear(x), [slice(0, 60)])
    assert nothing.mean == pytest.approx([0, 0], abs=1e-6)
    assert nothing.deviations == pytest.approx([1, 1])
