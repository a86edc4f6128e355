"""Door to `dp-hf serve-policy`."""

import sys

from dp_hf.cli.serve_policy import main

if __name__ == "__main__":
    sys.exit(main())
