"""Door to `dp-hf record-corrections`."""

from dp_hf.cli.record_corrections import main

if __name__ == "__main__":
    raise SystemExit(main())
