"""Door to `dp-hf convert-episodes`."""

import sys

from dp_hf.cli.convert_episodes import main

if __name__ == "__main__":
    sys.exit(main())
