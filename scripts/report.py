"""Door to `dp-hf report`."""

import sys

from dp_hf.cli.report import main

if __name__ == "__main__":
    sys.exit(main())
