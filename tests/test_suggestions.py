"""Which names are close enough to be suggested, in which order, and that it takes no time."""

import random
import re
import time

import pytest

from tsdl.diagnostics.suggest import close, meant, nearest


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("bandwith", ["bandwidth", "latency"], "bandwidth"),
        ("Band_Width", ["bandwidth"], "bandwidth"),
        ("BANDWIDTH", ["band_width"], "band_width"),
        ("latecny", ["latency"], "latency"),  # a swap is one edit
        ("units", ["until"], None),  # two edits, where one is allowed
        ("mss", ["ms", "us"], "ms"),
        ("x", ["y", "z"], None),  # nothing in common
        ("x", ["X"], "X"),
        ("x", ["xs"], "xs"),
        ("ab", ["ba"], "ba"),
        ("worker", [], None),
        ("worker", ["worker"], None),  # it is no suggestion
        ("RTX_6000_PRO", ["RTX_4090", "RTX_PRO_6000"], "RTX_PRO_6000"),
        ("RTX6000pro", ["RTX_4090", "RTX_PRO_6000"], "RTX_PRO_6000"),
        ("qwen3_30b", ["qwen3_32b", "qwen3_30b_a3b"], "qwen3_30b_a3b"),
        ("H100", ["A100_80G", "H100_SXM"], "H100_SXM"),
        ("h100_sxm", ["H100_SXM_x", "H100_SXM"], "H100_SXM"),  # spelled alike comes first
        ("a", ["a_long_name"], None),
        ("3_1", ["1_3_b"], None),  # other words
        ("worker", ["worker", "workers"], "workers"),
        ("cat", ["car", "bat"], "bat"),  # equally close: by alphabet
        ("", ["a"], None),
        ("_", ["a", "__"], "__"),
        ("straße", ["STRASSE"], "STRASSE"),
    ],
)
def test_suggest_nearest(name: str, candidates: list[str], expected: str | None) -> None:
    assert nearest(name, candidates) == expected


DEVICES = [
    "A40",
    "A100_40G",
    "A100_80G",
    "B200",
    "H100_PCIe",
    "H100_SXM",
    "H200",
    "L40S",
    "RTX_4090",
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("H100", ["H100_PCIe", "H100_SXM"]),  # short for several
        ("a100", ["A100_40G", "A100_80G"]),
        ("L40", ["L40S"]),  # one edit from A40 as well
        ("A100_SXM", ["A100_40G", "A100_80G"]),  # one edit from H100_SXM
        ("H200_SXM", ["H200"]),
        ("B200_SXM", ["B200"]),
        ("h100_sxm", ["H100_SXM"]),
        ("RTX4090", ["RTX_4090"]),
        ("GH200", ["H200"]),
        ("H100_SMX", ["H100_SXM"]),
        ("TPU", []),
    ],
)
def test_suggest_of_a_family_what_is_of_it(name: str, expected: list[str]) -> None:
    assert meant(name, DEVICES) == expected


def test_suggest_of_a_family_no_more_than_asked_for() -> None:
    assert meant("llama", [f"llama_{number}" for number in range(9)]) == [
        "llama_0",
        "llama_1",
        "llama_2",
        "llama_3",
    ]


def test_suggest_the_closest_come_first_and_not_too_many() -> None:
    names = ["decodeur", "decoder", "decode_", "recorder", "prefill", "decodes", "encode"]
    assert close("decode", names) == ["decode_", "decoder", "decodes", "decodeur"]
    assert close("decode", names, at_most=2) == ["decode_", "decoder"]
    assert close("decode", names, at_most=9) == [
        "decode_",
        "decoder",
        "decodes",
        "decodeur",
        "encode",
    ]
    assert close("decode", names, at_most=0) == []


def test_suggest_the_order_of_candidates_and_repeats_do_not_matter() -> None:
    names = ["aab", "aac", "aad", "aae", "aaf", "aag"]
    assert close("aaa", names) == close("aaa", names[::-1] * 2) == names[:4]


@pytest.mark.parametrize("seed", range(20))
def test_suggest_against_the_whole_table(seed: int) -> None:
    chance = random.Random(seed)

    def word() -> str:
        return "".join(chance.choices("abC_", k=chance.randint(0, 11)))

    for _ in range(20):
        name, candidates = word(), [word() for _ in range(40)]
        assert close(name, candidates, at_most=50) == by_the_whole_table(name, candidates)


def test_suggest_ten_thousand_candidates() -> None:
    names = [f"bandwidth_{number}" for number in range(10_000)]
    begin = time.perf_counter()
    assert nearest("bandwidht_1234", names) == "bandwidth_1234"
    assert time.perf_counter() - begin < 5


def test_suggest_very_long_names_are_compared_but_not_measured() -> None:
    long = "a" * 1_000_000
    begin = time.perf_counter()
    assert close(long, [long + "b", long[:-1] + "b", long.upper()]) == [long.upper()]
    assert close("ab", [long]) == []
    assert time.perf_counter() - begin < 5


def by_the_whole_table(name: str, candidates: list[str]) -> list[str]:
    """Return what `close` must: the textbook's table, nothing left out."""

    def fold(text: str) -> str:
        return text.casefold().replace("_", "")

    wanted = fold(name)
    found = []
    for candidate in set(candidates) - {name}:
        known = fold(candidate)
        limit = min(max(1, len(wanted) // 3), max(0, max(len(wanted), len(known)) - 1))
        edits = whole_table(wanted, known)
        words = [sorted(re.findall("[a-z]+", text.casefold())) for text in (name, candidate)]
        goes_on = len(name) > 2 and candidate.casefold().startswith(name.casefold() + "_")
        if wanted == known:
            found.append((-1, candidate))
        elif goes_on or (len(words[0]) > 1 and words[0] == words[1]):
            found.append((0, candidate))
        elif edits <= limit:
            found.append((edits, candidate))
    return [candidate for _, candidate in sorted(found)]


def whole_table(one: str, other: str) -> int:
    table = [
        [row + column if not (row and column) else 0 for column in range(len(other) + 1)]
        for row in range(len(one) + 1)
    ]
    for row in range(1, len(one) + 1):
        for column in range(1, len(other) + 1):
            differs = one[row - 1] != other[column - 1]
            ways = [
                table[row - 1][column] + 1,
                table[row][column - 1] + 1,
                table[row - 1][column - 1] + differs,
            ]
            if one[row - 2 : row] == other[column - 2 : column][::-1] and row > 1 and column > 1:
                ways.append(table[row - 2][column - 2] + 1)
            table[row][column] = min(ways)
    return table[-1][-1]
