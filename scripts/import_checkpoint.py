"""Door to `dp-hf import-checkpoint`."""

from dp_hf.cli.import_checkpoint import main

if __name__ == "__main__":
    raise SystemExit(main())
