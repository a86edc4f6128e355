"""Door to `dp-hf compare`."""

from dp_hf.cli.compare import main

if __name__ == "__main__":
    raise SystemExit(main())
