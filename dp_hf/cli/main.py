"""`dp-hf COMMAND ...`: one door to every command, importing only the one that is asked for."""

import sys
from importlib import import_module

from dp_hf.cli.failures import exit_code
from dp_hf.cli.recipes import recipe_folder, recipe_names
from dp_hf.cli.stdout import while_somebody_reads

COMMANDS = {
    "check-episodes": "report the problems of recorded episodes, rank them, or move the bad ones aside",
    "view": "write a page that shows recordings, and which frames stand out",
    "edit-episodes": "cut, drop, split, join and merge recordings into a new folder",
    "convert-episodes": "turn episode folders into a dataset",
    "record-demonstrations": "record demonstrations",
    "record-corrections": "let a policy act in the simulator, and record how the expert corrects it",
    "train": "train a diffusion policy",
    "infer": "predict the action for an image, or for every frame of an episode",
    "evaluate": "measure closed-loop success in the simulator",
    "compare": "tell which of two policies succeeds more often, and when to stop looking",
    "calibrate-alarm": "measure from when on a policy does not know what it does",
    "run-policy": "drive a simulated or real robot with a policy in real time",
    "serve-policy": "let an arm whose computer cannot run torch use a policy over the network",
    "import-checkpoint": "turn a .pth checkpoint of the reference into a pipeline, or back",
    "inspect-checkpoint": "print what a checkpoint holds",
    "report": "write a page about a training run and its evaluation",
    "export-policy": "export a pipeline to ONNX, and compare",
    "push-to-hub": "upload a pipeline or a dataset to the Hugging Face Hub",
}


def main(argv: list[str] | None = None) -> int:
    """Runs `dp-hf`. Returns the exit code: 0 done, 1 failed, 2 wrong usage or input, 130 for Ctrl-C."""
    try:
        with while_somebody_reads():
            return _main(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:  # while it imports, or reads its arguments
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return exit_code(error)


def _main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0 if argv else 2
    if argv[0] == "--version":
        from dp_hf import __version__

        print(__version__)
        return 0
    command = argv[0].replace("_", "-")
    if command not in COMMANDS:
        print(f"dp-hf: no command {argv[0]!r}\n\n{usage()}", file=sys.stderr)
        return 2
    return import_module(f"dp_hf.cli.{command.replace('-', '_')}").main(argv[1:])


def usage() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    accelerate = recipe_folder("accelerate")
    return f"""usage: dp-hf COMMAND [--help] ...

commands:
{rows}

recipes:
  train --config NAME        {", ".join(recipe_names("train"))}
  run-policy --arm NAME      {", ".join(recipe_names("arms"))}
  run-policy --limits NAME   {", ".join(recipe_names("control"))}
  ... --task_file NAME       {", ".join(recipe_names("tasks"))}
  accelerate launch --quiet --config_file {accelerate}/NAME.yaml -m dp_hf.cli.main train ...
                             {", ".join(recipe_names("accelerate"))}"""


if __name__ == "__main__":
    sys.exit(main())
