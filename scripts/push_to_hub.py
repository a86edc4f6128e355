"""Door to `dp-hf push-to-hub`."""

import sys

from dp_hf.cli.push_to_hub import main

if __name__ == "__main__":
    sys.exit(main())
