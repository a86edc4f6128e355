"""Door to `dp-hf calibrate_alarm`."""

from dp_hf.cli.calibrate_alarm import main

if __name__ == "__main__":
    raise SystemExit(main())
