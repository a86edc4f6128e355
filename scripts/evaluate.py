"""Door to `dp-hf evaluate`."""

from dp_hf.cli.evaluate import main

if __name__ == "__main__":
    raise SystemExit(main())
