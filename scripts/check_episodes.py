"""Door to `dp-hf check-episodes`."""

from dp_hf.cli.check_episodes import main

if __name__ == "__main__":
    raise SystemExit(main())
