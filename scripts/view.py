"""Door to `dp-hf view`."""

from dp_hf.cli.view import main

if __name__ == "__main__":
    raise SystemExit(main())
