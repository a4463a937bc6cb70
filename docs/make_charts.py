"""Draws the charts that README shows: docs/charts.svg, of the first example at two rates."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "quickstart.tsim"
RATES = (8, 12)  # requests a second


def tsdl(*arguments: str) -> None:
    """Run the command line."""
    subprocess.run([sys.executable, "-m", "tsdl", *arguments], check=False, stdout=subprocess.PIPE)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folders = [str(Path(name, f"{rate} req per s")) for rate in RATES]
        for rate, folder in zip(RATES, folders, strict=True):
            tsdl("run", str(EXAMPLE), "-p", f"qps={rate} req/s", "--out", folder)
        picture = str(ROOT / "docs" / "charts.svg")
        tsdl("plot", *folders, "--name", "latency", "--name", "batch", "-o", picture)
