"""``python -m tinygradrnn`` is the command ``tinygradrnn``."""

import sys

from tinygradrnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
