"""Door to `dp-hf push-to-hub`."""

from dp_hf.cli.push_to_hub import main

if __name__ == "__main__":
    raise SystemExit(main())
