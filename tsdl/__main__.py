"""python -m tsdl."""

import sys

from tsdl.cli import main

if __name__ == "__main__":
    sys.exit(main())
