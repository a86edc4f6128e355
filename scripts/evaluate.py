"""Door to `dp-hf evaluate`."""

import sys

from dp_hf.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
