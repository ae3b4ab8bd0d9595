"""The command line: ``fastemb COMMAND``, or ``python -m fastemb COMMAND``."""

from __future__ import annotations

import sys

from ._cli.parser import main

if __name__ == "__main__":
    sys.exit(main())
