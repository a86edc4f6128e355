"""Door to `dp-hf convert-episodes`."""

from dp_hf.cli.convert_episodes import main

if __name__ == "__main__":
    raise SystemExit(main())
