"""Door to `dp-hf export-policy`."""

import sys

from dp_hf.cli.export_policy import main

if __name__ == "__main__":
    sys.exit(main())
