"""Door to `dp-hf import-checkpoint`."""

import sys

from dp_hf.cli.import_checkpoint import main

if __name__ == "__main__":
    sys.exit(main())
