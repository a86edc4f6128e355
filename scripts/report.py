"""Door to `dp-hf report`."""

from dp_hf.cli.report import main

if __name__ == "__main__":
    raise SystemExit(main())
