"""Door to `dp-hf run-policy`."""

import sys

from dp_hf.cli.run_policy import main

if __name__ == "__main__":
    sys.exit(main())
