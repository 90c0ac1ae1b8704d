"""``python -m tests.torture``; its work is done in a module that other processes import, too."""

import sys

from tests.torture.complete import main

if __name__ == "__main__":
    sys.exit(main())
