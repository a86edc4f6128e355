"""Door to `dp-hf edit-episodes`."""

from dp_hf.cli.edit_episodes import main

if __name__ == "__main__":
    raise SystemExit(main())
