"""`python -m core`: the headless tool, without Qt."""

import sys

from core.cli import main

if __name__ == "__main__":
    sys.exit(main())
