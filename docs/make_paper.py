"""Draws the pictures of docs/paper.md: the studies of examples/paper, beside the paper's numbers.

    python docs/make_paper.py [--store FILE] [--to FOLDER] [--png] [PICTURE…]

Pictures are named as in docs/paper/: `table2`, `figure4`, …; without one, all. Each run is kept in
the store (else it is done anew), as by `tsdl run --store`. Needs the checkout on the path
(PYTHONPATH=.) and matplotlib. The same answers give the same bytes.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

import tsdl
from tsdl.runtime.result import Result
from tsdl.studies import Answer

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "examples" / "paper"
PICTURES = ROOT / "docs" / "paper"
STYLE: Any = {"svg.hashsalt": "tsdl", "svg.fonttype": "none", "font.size": 9}
PAPER: dict[str, Any] = {
    "color": "black",
    "marker": "x",
    "linestyle": "none",
    "zorder": 3,
}  # what it has in words
UNLIMITED = 10_000  # requests of a batch that memory alone limits
BEGIN = 5.0  # seconds: where the paper begins to look at memory
MARKS = ("o-", "s--", "^:", "d-.", "v-", "p--", "*:")


@dataclass(frozen=True)
class Asked:
    """Where answers come from: a store, or none."""

    store: Path | None

    def study(self, file: str, name: str) -> Answer:
        """Return the answer of a study of examples/paper."""
        return tsdl.study(PROGRAMS / f"{file}.tsim", name, store=self.store)

    def run(self, file: str, **params: str) -> Result:
        """Return the run of the scenario of a file."""
        return tsdl.compile(PROGRAMS / f"{file}.tsim", params=params).run()


def over(answer: Answer, x: str, y: str, /, **cells: object) -> tuple[list[Any], list[float]]:
    """Return an axis and a figure of the rows that have these cells."""
    rows = [r for r in answer.rows if all(r.cells[c] == v for c, v in cells.items())]
    return [r.cells[x] for r in rows], [r.figures[y].mean for r in rows]


def values(answer: Answer, axis: str) -> list[Any]:
    """Return the values of an axis, in their order."""
    return list(dict.fromkeys(row.cells[axis] for row in answer.rows))


def named(axes: Any, title: str, x: str, y: str) -> None:  # noqa: ANN401
    """Say what a place of a picture shows."""
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(visible=True, alpha=0.3)


def table2(figure: Figure, asked: Asked) -> None:
    """Draw both rows of table II."""
    places = figure.subplots(1, 2, sharey=True)
    for axes, study, row in zip(
        places, ("tokensim_row", "local_row"), ("TokenSim", "Local (real)"), strict=True
    ):
        answer = asked.study("table2", study)
        axes.plot(*over(answer, "requests", "makespan"), "o-", label="TSDL")
        axes.plot(values(answer, "requests"), values(answer, "paper"), **PAPER, label="paper")
        named(axes, f"row “{row}”", "requests", "seconds to the last token")
        axes.legend()


def figure4(figure: Figure, asked: Asked) -> None:
    """Draw throughput, and percentiles of latency, over the rate."""
    answer = asked.study("figure4", "validation")
    shown = ("throughput", "p50(e2e)", "p99(e2e)", "max(e2e)")
    for axes, told in zip(figure.subplots(1, 4), shown, strict=True):
        for case, mark in zip(values(answer, "case"), MARKS, strict=False):
            axes.plot(*over(answer, "qps", told, case=case), mark, label=case, markersize=4)
        named(axes, told, "requests per second", "req/s" if told == "throughput" else "seconds")
    axes.legend()


def figure5(figure: Figure, asked: Asked) -> None:
    """Draw the distribution of latency at three rates."""
    axes = figure.subplots()
    servers = {"library": ("vllm_0_6", "-"), "arithmetic": ("tokensim_paged", "--")}
    for color, qps in enumerate((2, 4, 6)):
        for server, (scheduler, line) in servers.items():
            result = asked.run("figure4", server=server, scheduler=scheduler, qps=f"{qps} req/s")
            times = np.sort(result.requests["e2e"])
            share = np.arange(1, len(times) + 1) / len(times)
            label = f"{qps} req/s, {'TSDL' if server == 'library' else 'TokenSim'}"
            axes.plot(times[::10], share[::10], line, color=f"C{color}", label=label)
    named(axes, "latency of requests", "seconds", "share of requests")
    axes.legend()


def figure7(figure: Figure, asked: Asked) -> None:
    """Draw the time that so many requests take."""
    answer = asked.study("figure7", "runtime")
    axes = figure.subplots()
    for link, mark in zip(values(answer, "connection"), MARKS, strict=False):
        axes.plot(*over(answer, "requests", "makespan", connection=link), mark, label=link)
    counts = values(answer, "requests")
    axes.plot(counts, [count / 8 for count in counts], "k:", label="arrivals at 8 req/s")
    named(axes, "one A100 prefills, one decodes", "requests", "seconds to the last token")
    axes.legend()


def figure8(figure: Figure, asked: Asked) -> None:
    """Draw the iterations of four requests: prefill, decode, and a decode that nobody needs."""
    places = figure.subplots(2, 1, sharex=True)
    for axes, scheduler in zip(places, ("static", "continuous"), strict=True):
        result = asked.run("figure8", scheduler=f"{scheduler}_batching")
        records, last = result.records, result.requests["last_token"]
        ends = sorted(set(records["time"]))
        begins = dict(zip(ends, [0.0, *ends], strict=False))
        for end, name, value in zip(*(records[c] for c in ("time", "name", "value")), strict=True):
            color = "gold" if name == "prefill" else "cornflowerblue"
            if end > last[int(value)]:
                color = "white"
            span = (begins[end] * 1e3, (end - begins[end]) * 1e3)
            axes.broken_barh([span], (value - 0.4, 0.8), facecolor=color, edgecolor="black")
        axes.set(title=f"{scheduler} batching", ylabel="request", yticks=range(4))
        axes.invert_yaxis()
    axes.set_xlabel("milliseconds; yellow: prefill, blue: decode, white: bubble")


def figure9(figure: Figure, asked: Asked) -> None:
    """Draw normalized latency under both ways of batching."""
    answer = asked.study("figure9", "latency")
    axes = figure.subplots()
    for scheduler, line in (("static_batching", "--"), ("continuous_batching", "-")):
        for color, slots in enumerate(values(answer, "slots")):
            size = "inf" if slots == UNLIMITED else f"{slots:g}"
            label = f"{scheduler.partition('_')[0]}, {size}"
            points = over(answer, "qps", "mean(e2e / output)", scheduler=scheduler, slots=slots)
            axes.plot(*points, f"o{line}", color=f"C{color}", label=label, markersize=4)
    axes.set_yscale("log")
    named(axes, "normalized latency", "requests per second", "seconds a token")
    figure.legend(loc="outside right upper")


def figure10(figure: Figure, asked: Asked) -> None:
    """Draw requests that meet the SLO, over the share of memory that newcomers may fill."""
    answer = asked.study("figure10", "ratio")
    titles = {"decode_only": "(a) mTPOT ≤ 0.3 s", "interactive": "(b) and TTFT ≤ 15 s"}
    places = figure.subplots(1, 2, sharey=True)
    for axes, (bounds, title) in zip(places, titles.items(), strict=True):
        for qps, mark in zip(values(answer, "qps"), MARKS, strict=False):
            caps, rates = over(answer, "cap", "goodput", bounds=bounds, qps=qps)
            axes.plot([cap * 100 for cap in caps], rates, mark, label=f"{qps:g} req/s arrive")
        named(axes, title, "share of memory for newcomers, %", "req/s within the SLO")
    places[0].legend()


def figure11(figure: Figure, asked: Asked) -> None:
    """Draw the best number of devices that prefill, of eight, over lengths."""
    answer = asked.study("figure11", "best_ratio")
    for axes, model in zip(figure.subplots(1, 2), values(answer, "served"), strict=True):
        answers, questions = values(answer, "answer"), values(answer, "question")
        rows = [row for row in answer.rows if row.cells["served"] == model]
        field = np.zeros((len(questions), len(answers)))
        for row in rows:
            y, x = questions.index(row.cells["question"]), answers.index(row.cells["answer"])
            prefills, qps = int(row.cells["prefills"]), row.figures["qps"].mean
            field[y, x] = prefills
            axes.text(
                x, y, f"P{prefills}–D{8 - prefills}\n{qps:.3g} req/s", ha="center", va="center"
            )
        axes.pcolormesh(field, vmin=0, vmax=10, cmap="Blues", edgecolor="white", shading="flat")
        for text in axes.texts:
            text.set_position((text.get_position()[0] + 0.5, text.get_position()[1] + 0.5))
        axes.set_xticks(np.arange(len(answers)) + 0.5, [f"{a:g}" for a in answers])
        axes.set_yticks(np.arange(len(questions)) + 0.5, [f"{q:g}" for q in questions])
        axes.set(title=model, xlabel="tokens of the answer", ylabel="tokens of the prompt")


def figure12(figure: Figure, asked: Asked) -> None:
    """Draw what decoders of several makes bring for their price."""
    answer = asked.study("figure12", "decoders")
    axes = figure.subplots()
    for decoder, mark in zip(values(answer, "decoder"), "^so*", strict=True):
        for prefills, fill in ((1, "full"), (2, "none")):
            rows = [
                r for r in answer.rows
                if r.cells["decoder"] == decoder and r.cells["prefills"] == prefills
            ]  # fmt: skip
            points = zip(*((r.figures["price / 10_000 USD"].mean, r.figures["qps"].mean)
                           for r in rows), strict=True)  # fmt: skip
            label = f"{prefills} A100 + {decoder}"
            axes.plot(*points, mark, fillstyle=fill, label=label, linestyle="none")
    smaller = asked.study("figure12", "of_40_GB")
    for case, mark in (("one_and_four", "d"), ("two_and_three", "D"), ("one_and_seven", "d")):
        (row,) = (r for r in smaller.rows if r.cells["case"] == case)
        point = (row.figures["price / 10_000 USD"].mean, row.figures["qps"].mean)
        label = f"{case.replace('_', ' ')} A100 of 40 GB"
        axes.plot(*point, mark, color="gray", label=label, linestyle="none")
    axes.plot([4.5, 5], [29.1, 24.7], **PAPER, label="paper: 1 + 7 AiM, 2 + 3 A100")
    named(axes, "eight slots", "price, in A100", "greatest req/s within the SLO")
    figure.legend(loc="outside right upper", fontsize=7)


def figure13(figure: Figure, asked: Asked) -> None:
    """Draw memory for KV in use, of each worker over time."""
    places = figure.subplots(1, 2, sharey=True)
    memory = {"(a) 80 GiB each": "80 GiB", "(b) half of it where prefill runs": "40 GiB"}
    for axes, (title, size) in zip(places, memory.items(), strict=True):
        result = asked.run("figure13", prefill_memory=size)
        room = [worker["kv_capacity"] for worker in result.summary["workers"]]
        series = result.timeseries
        field = np.array([
            series["kv_used"][series["worker"] == number] / capacity * 100
            for number, capacity in enumerate(room)
        ])  # fmt: skip
        times = series["time"][series["worker"] == 0]
        seen = times >= BEGIN
        axes.pcolormesh(
            times[seen], range(len(room)), field[:, seen], cmap="viridis", vmin=0, vmax=100,
            shading="nearest",
        )  # fmt: skip
        labels = ["prefill", *(f"decode {n}" for n in range(1, len(room)))]
        axes.set_yticks(range(len(room)), labels)
        axes.set(title=title, xlabel="seconds")
    figure.colorbar(places[0].collections[0], ax=places, label="% of the memory for KV")


def figure14(figure: Figure, asked: Asked) -> None:
    """Draw latency with and without the pool, and what it is worth."""
    left, right = figure.subplots(1, 2)
    answer = asked.study("figure14", "latency")
    for keeping, line in (("continuous", "-"), ("pooled", "--")):
        for color, length in enumerate(values(answer, "answer")):
            points = over(answer, "qps", "p99(e2e)", keeping=keeping, answer=length)
            label = f"64-{length:g}, {'pool' if keeping == 'pooled' else 'none'}"
            left.plot(*points, f"o{line}", color=f"C{color}", label=label, markersize=4)
    named(left, "latency, 99th percentile", "conversations per second", "seconds")
    left.legend()
    answer = asked.study("figure14", "gain")
    told = "qps / qps[keeping = continuous]"
    right.plot(*over(answer, "answer", told, keeping="pooled"), "o-", label="TSDL")
    right.plot([64], [2], **PAPER, label="paper, at 64 tokens")
    right.set_xscale("log", base=2)
    right.set_ylim(bottom=1)
    named(right, "rate for the same latency", "tokens of an answer", "with the pool / without")
    right.legend()


def figure15(figure: Figure, asked: Asked) -> None:
    """Draw the greatest rate, with other hardware where prefill runs."""
    answer = asked.study("figure15", "prefill")
    cases = values(answer, "case")
    axes = figure.subplots()
    for prefills in values(answer, "prefills"):
        rates = over(answer, "case", "qps", prefills=prefills)[1]
        places = np.arange(len(cases)) + (prefills - 2) * 0.27
        axes.bar(places, rates, width=0.25, label=f"P{prefills}-D{8 - prefills}")
    axes.set_xticks(range(len(cases)), cases)
    named(axes, "where prefill runs: T: FLOPS, C: capacity, B: bandwidth", "",
          "greatest req/s within the SLO")  # fmt: skip
    axes.legend()


DRAWN: dict[str, tuple[Callable[[Figure, Asked], None], float, float]] = {
    "table2": (table2, 7, 3), "figure4": (figure4, 11, 2.8), "figure5": (figure5, 6, 3.4),
    "figure7": (figure7, 5, 3), "figure8": (figure8, 8, 3.6), "figure9": (figure9, 7, 3.6),
    "figure10": (figure10, 8, 3.2), "figure11": (figure11, 9, 3.4), "figure12": (figure12, 8, 4),
    "figure13": (figure13, 9, 3), "figure14": (figure14, 9, 3.4), "figure15": (figure15, 7, 3.2),
}  # fmt: skip


def draw(name: str, asked: Asked, path: Path) -> None:
    """Draw one picture into a file: an SVG or a PNG, by its name."""
    drawn, width, height = DRAWN[name]
    metadata = {"Date": None} if path.suffix == ".svg" else None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        drawn(figure, asked)
        figure.savefig(path, metadata=metadata, dpi=80)


def main() -> None:
    """Draw the pictures that are named."""
    parser = argparse.ArgumentParser(prog="make_paper", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="PICTURE", help=f"of {', '.join(DRAWN)}")
    parser.add_argument("--store", type=Path, help="where runs are kept")
    parser.add_argument("--to", type=Path, default=PICTURES, help="a folder (docs/paper)")
    parser.add_argument("--png", action="store_true", help="PNG in place of SVG, to look at")
    given = parser.parse_args()
    given.to.mkdir(exist_ok=True)
    for name in given.names or DRAWN:
        draw(name, Asked(given.store), given.to / f"{name}.{'png' if given.png else 'svg'}")


if __name__ == "__main__":
    main()
