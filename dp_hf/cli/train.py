"""`dp-hf train`: train a diffusion policy."""

import sys
from collections.abc import Sequence
from pathlib import Path

from dp_hf.cli.arguments import parse, run
from dp_hf.training.config import TrainConfig, as_flags, read_config_file


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return run(parse_and_train, argv)


def parse_and_train(argv: list[str]) -> None:
    config = parse_config(argv)
    from dp_hf.training.trainer import train

    output_dir = train(config)
    print(f"best policy: {output_dir / 'best'}, last: {output_dir / 'final'}")


def parse_config(argv: Sequence[str]) -> TrainConfig:
    """The options: defaults, then those of the file that `--config` names, then flags."""
    file = _config_file(argv)
    default = parse(TrainConfig, as_flags(read_config_file(file)), str(file)) if file else None
    return parse(TrainConfig, argv, "dp-hf train", default)


def _config_file(argv: Sequence[str]) -> Path | None:
    for i, argument in enumerate(argv):
        if argument == "--config" and i + 1 < len(argv):
            return Path(argv[i + 1])
        if argument.startswith("--config="):
            return Path(argument.removeprefix("--config="))
    return None
