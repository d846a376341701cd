"""``python -m imperv``: the command."""

import sys

from imperv.flows.cli import main

if __name__ == "__main__":
    sys.exit(main())
