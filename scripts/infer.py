"""Door to `dp-hf infer`."""

import sys

from dp_hf.cli.infer import main

if __name__ == "__main__":
    sys.exit(main())
