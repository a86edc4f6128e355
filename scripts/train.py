"""Door to `dp-hf train`."""

import sys

from dp_hf.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
