"""Door to `dp-hf check-episodes`."""

import sys

from dp_hf.cli.check_episodes import main

if __name__ == "__main__":
    sys.exit(main())
