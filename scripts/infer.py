"""Door to `dp-hf infer`."""

from dp_hf.cli.infer import main

if __name__ == "__main__":
    raise SystemExit(main())
