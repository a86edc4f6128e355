"""Door to `dp-hf train`."""

from dp_hf.cli.train import main

if __name__ == "__main__":
    raise SystemExit(main())
