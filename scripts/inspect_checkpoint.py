"""Door to `dp-hf inspect-checkpoint`."""

import sys

from dp_hf.cli.inspect_checkpoint import main

if __name__ == "__main__":
    sys.exit(main())
