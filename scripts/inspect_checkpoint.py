"""Door to `dp-hf inspect-checkpoint`."""

from dp_hf.cli.inspect_checkpoint import main

if __name__ == "__main__":
    raise SystemExit(main())
