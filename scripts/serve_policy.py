"""Door to `dp-hf serve-policy`."""

from dp_hf.cli.serve_policy import main

if __name__ == "__main__":
    raise SystemExit(main())
