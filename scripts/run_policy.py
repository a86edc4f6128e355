"""Door to `dp-hf run-policy`."""

from dp_hf.cli.run_policy import main

if __name__ == "__main__":
    raise SystemExit(main())
