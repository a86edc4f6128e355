"""Door to `dp-hf export-policy`."""

from dp_hf.cli.export_policy import main

if __name__ == "__main__":
    raise SystemExit(main())
