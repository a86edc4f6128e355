"""Door to `dp-hf record-demonstrations`."""

import sys

from dp_hf.cli.record_demonstrations import main

if __name__ == "__main__":
    sys.exit(main())
