"""Door to `dp-hf record-demonstrations`."""

from dp_hf.cli.record_demonstrations import main

if __name__ == "__main__":
    raise SystemExit(main())
