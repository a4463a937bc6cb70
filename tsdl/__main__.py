"""python -m tsdl."""

import sys

from tsdl.cli import run

if __name__ == "__main__":
    sys.exit(run())
