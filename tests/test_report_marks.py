"""How charts look: colors and signs, names and marks of axes, intervals, tables."""

import json
import math

import pytest

from tsdl.reports import marks
from tsdl.reports.studycharts import _legend, _scaled
from tsdl.studies.figures import interval, limits

# -- colors and signs --------------------------------------------------------------------------


def test_names_are_told_apart_by_color_and_sign() -> None:
    names = tuple(map(str, range(20)))
    spec = marks.lines([], marks.Axis("x"), marks.Axis("y"), marks.Legend(names))
    shown = spec["layer"][0]["encoding"]
    looks = [
        (color, tuple(dash))
        for color, dash in zip(
            shown["color"]["scale"]["range"], shown["strokeDash"]["scale"]["range"], strict=True
        )
    ]
    assert len(set(looks)) == len(names)


def test_names_in_two_parts_have_color_by_the_one_and_dash_by_the_other() -> None:
    picture = {
        "kind": "lines",
        "shown": [{"text": "p99(ttft)", "unit": "s"}, {"text": "mean(ttft)", "unit": "s"}],
        "channels": {"x": {"text": "qps", "unit": ""}, "color": {"text": "policy", "unit": ""}},
        "rows": [
            {"point": {"qps": 2, "policy": policy}, "channels": {"x": 2, "color": policy}}
            for policy in ("a", "b", "c", "d")
        ],
        "scales": {},
        "rest": [],
    }
    legend = _legend(picture)
    assert legend.names[:2] == ("a, p99(ttft)", "a, mean(ttft)")
    spec = marks.lines([], marks.Axis("x"), marks.Axis("y"), legend, marked=True)
    line, sign = (layer["encoding"] for layer in spec["layer"])
    colors, dashes = (line[channel]["scale"]["range"] for channel in ("color", "strokeDash"))
    assert colors[::2] == colors[1::2] == list(marks.COLORS[:4])
    assert dashes == [*marks.DASHES[:2]] * 4
    assert line["color"]["legend"]["symbolType"] == "stroke"
    assert sign["shape"]["legend"] is None


def test_signs_differ_where_colors_are_used_up() -> None:
    names = tuple(map(str, range(25)))
    spec = marks.points([], marks.Axis("x"), marks.Axis("y"), marks.Legend(names))
    shown = spec["layer"][0]["encoding"]
    ranges = [shown[channel]["scale"]["range"] for channel in ("color", "shape")]
    assert len(set(zip(*ranges, strict=True))) == len(names)


# -- axes --------------------------------------------------------------------------------------


def test_every_place_of_an_axis_is_named_where_there_is_room() -> None:
    for count, angle, thinned in ((4, -30, False), (20, -90, False), (40, -90, True)):
        x = marks.Axis("x", tuple(f"scheduler {i}" for i in range(count)))
        spec = marks.bars([], x, marks.Axis("y"), marks.Legend(("all",)))
        axis = spec["encoding"]["x"]["axis"]
        assert (axis["labelAngle"], axis["labelOverlap"]) == (angle, thinned)


def test_between_whole_numbers_an_axis_marks_none() -> None:
    def axis(*cells: float, unit: str = "") -> marks.Axis:
        rows = [{"channels": {"x": cell}} for cell in cells]
        channels = {"x": {"text": "gpus", "unit": unit}}
        return _scaled({"rows": rows, "channels": channels, "scales": {}}, "x")[1]

    assert axis(1, 2).whole
    assert axis(64, 128, unit="tokens").whole
    assert not axis(1, 1.5).whole
    assert not axis(1, 2, unit="req/s").whole
    places = marks.lines([], axis(1, 2), marks.Axis("y"), marks.Legend(("all",)))
    shown = json.dumps(places)
    assert shown.count('"tickMinStep": 1') == 1


# -- intervals ---------------------------------------------------------------------------------


def test_intervals_end_where_values_do() -> None:
    one = marks.Series("a", ["p", "q"], [0.95, 0.02], [0.1, 0.1], (0.0, 1.0))
    x = marks.Axis("x", ("p", "q"))
    spec = marks.bars([one], x, marks.Axis("y"), marks.Legend(("a",)))
    assert [(v["l"], v["h"]) for v in spec["data"]["values"]] == [(0.85, 1), (0, 0.12)]


@pytest.mark.parametrize(
    ("text", "high"),
    [
        ("attainment", 1),
        ("attainment[qps = 8]", 1),
        ("attainment * 2", math.inf),
        ("price", math.inf),
    ],
)
def test_shares_are_known_by_their_name(text: str, high: float) -> None:
    assert limits(text)[1] == high


def test_an_interval_that_goes_beyond_all_values_is_told_by_its_ends() -> None:
    assert interval("attainment", 0.9951, 0.014, 1.0) == "0.9951 (0.9811 to 1)"
    assert interval("attainment", 0.004, 0.014, 1.0) == "0.004 (0 to 0.018)"
    assert interval("attainment", 0.9, 0.014, 1.0) == "0.9 ± 0.014"
    assert interval("throughput", 0.9951, 0.014, 1.0) == "0.9951 ± 0.014"


# -- tables ------------------------------------------------------------------------------------


def test_long_tables_are_shortened() -> None:
    table = marks.Table(("a", "b"), tuple((str(i), "") for i in range(1005)))
    assert table.shortened(1000).rows[-1] == ("… and 5 more", "")
    assert table.shortened(1005) == table
