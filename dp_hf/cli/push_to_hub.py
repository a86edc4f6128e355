"""`dp-hf push-to-hub`: upload a trained pipeline, a converted dataset, or a LeRobot dataset."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dp_hf.cli.arguments import parse, run


@dataclass
class PushArguments:
    """Uploads a pipeline's folder, a converted dataset or a LeRobot dataset to the Hugging Face Hub, with its card.

    What people have written into the repository's card and added to its files stays; files of an earlier push that the
    folder has no more are removed.
    """

    repo_id: str
    """Repository, USER/NAME; created where there is none."""
    pipeline: Path | None = None
    """Folder of a pipeline, such as OUTPUT_DIR/best."""
    data_dir: Path | None = None
    """Folder of a converted dataset, or of one in LeRobot's layout, in place of a pipeline."""
    private: bool | None = None
    """Visibility of a new repository; by default the account's own setting."""
    revision: str | None = None
    """Branch to push to; created where there is none."""
    token: str | None = None
    """Access token; by default the one that `hf auth login` stored, or the variable HF_TOKEN."""
    commit_message: str | None = None
    """Message of the commit."""
    bundle_code: bool = False
    """Add the code of the pipeline's classes, so that it loads with plain diffusers and trust_remote_code=True where
    dp_hf is not installed."""
    results: Path | None = None
    """`results.json` of `dp-hf evaluate`, to put the closed-loop success on the model card, or `comparison.json` of
    `dp-hf compare`, to put how it does against another policy there."""


def main(argv: list[str] | None = None) -> int:
    return run(push, parse(PushArguments, argv, "dp-hf push-to-hub", old_names={"path": "pipeline"}))


def push(arguments: PushArguments) -> None:
    from dp_hf.errors import UserError
    from dp_hf.files import read_json
    from dp_hf.folder_kinds import LEROBOT_INFO
    from dp_hf.hub.upload import repo_type_of, upload_folder

    folder = arguments.pipeline or arguments.data_dir
    if folder is None or None not in (arguments.pipeline, arguments.data_dir):
        raise UserError("give either --pipeline or --data_dir")
    # The folder says what it is: --path, which both were called once, is read as --pipeline.
    kind = repo_type_of(folder)
    options: dict[str, Any] = {
        "private": arguments.private,
        "revision": arguments.revision,
        "token": arguments.token,
        "commit_message": arguments.commit_message,
    }
    if kind == "dataset":
        for option in ("bundle_code", "results"):
            if getattr(arguments, option):
                raise UserError(f"{folder} is a dataset: --{option} is for pipelines")
        if (folder / LEROBOT_INFO).is_file():
            from dp_hf.interop.lerobot.sharing import push_lerobot

            kind, commit = "LeRobot dataset", push_lerobot(folder, arguments.repo_id, **options)
        else:
            commit = upload_folder(folder, arguments.repo_id, **options)
    else:
        from dp_hf.interop.bundled_code import add_code
        from dp_hf.pipelines.loading import digest_pipeline
        from dp_hf.pipelines.model_card import add_comparison, add_rollouts
        from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline
        from dp_hf.success.score_sheet import digest_files

        pipeline = DiffusionPolicyPipeline.from_pretrained(folder)
        if arguments.results is not None:
            results = read_json(arguments.results)
            if "policies" in results:
                digests = [digest_pipeline(pipeline), digest_files(folder)]
                pipeline.model_card = add_comparison(pipeline.card(), results, digests, str(arguments.results))
            else:
                pipeline.model_card = add_rollouts(pipeline.card(), results, str(arguments.results))
        prepare = add_code if arguments.bundle_code else None
        commit = pipeline.push_to_hub(arguments.repo_id, prepare=prepare, **options)
    print(f"pushed {kind} {folder} to {commit.commit_url}")
