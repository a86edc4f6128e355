"""The training loop."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeAlias

from accelerate import Accelerator, skip_first_batches
from accelerate.utils import set_seed

from dp_hf.files import folder_written_beside, locked
from dp_hf.pipelines.model_card import render_model_card
from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline
from dp_hf.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from dp_hf.training.config import TrainConfig, changed_options, plain_options, save_config
from dp_hf.training.diffusion import diffusion_loss
from dp_hf.training.interruption import Interruption
from dp_hf.training.output_folder import CONFIG_FILE, PATIENCE, checkpoint_to_continue
from dp_hf.training.processes import lost_process_named
from dp_hf.training.records import Records, draw_curves, read_metrics, require_rows, write_training
from dp_hf.training.setup import Run, cpu_threads, make_accelerator, set_up, warmup_steps
from dp_hf.training.validation import validate

# Closed-loop trials of a pipeline: {"success_rate": 0..1} and whatever else is worth a row of metrics.
Rollout: TypeAlias = Callable[[DiffusionPolicyPipeline], dict[str, Any]]

# Options that name places of this machine, which are nobody else's business.
PLACES = ("data_dir", "corrections", "output_dir", "cache_dir", "resume_from_checkpoint", "task_file")


def train(
    config: TrainConfig,
    rollout: Rollout | None = None,
    check: Callable[[DiffusionPolicyPipeline], None] | None = None,
) -> Path:
    """Trains a policy.

    Args:
        rollout: tries the policy in closed loop every `rollout_interval` epochs.
        check: called with the untrained pipeline; what it raises ends the run before it begins.

    Returns:
        `config.output_dir`, which holds the pipelines `best/` and `final/`, `checkpoint-*`, `train_config.yaml`,
        `metrics.jsonl` and `curves.png`.

    Raises:
        UserError: data or options that cannot be used, or an output folder that holds another run, or one that is
            still running.
        RunFailed: another process of the run has ended.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once a checkpoint is saved.
    """
    checkpoint_to_continue(config)
    accelerator = make_accelerator(config)
    lock = locked(config.output_dir, PATIENCE) if accelerator.is_main_process else nullcontext()
    with lock, lost_process_named(accelerator):
        train_into_folder(config, accelerator, rollout, check)
    return config.output_dir


def train_into_folder(
    config: TrainConfig,
    accelerator: Accelerator,
    rollout: Rollout | None,
    check: Callable[[DiffusionPolicyPipeline], None] | None,
) -> None:
    """As `train`, in an output folder that is this run's alone."""
    # Another run may have begun or gone on in it until the lock was had.
    accelerator.wait_for_everyone()
    checkpoint = checkpoint_to_continue(config)
    accelerator.wait_for_everyone()
    run = set_up(config, accelerator)
    if check is not None:
        check(run.pipeline)
    # From here on every process draws its own noise.
    set_seed(config.seed, device_specific=True)
    progress = Progress(run.num_windows, accelerator.num_processes)
    if checkpoint is not None:
        load_checkpoint(accelerator, checkpoint, progress, run.ema, run.origin, len(run.loader))
        run.obey_optimizer_options()
    records = start_records(run, progress, checkpoint)

    with cpu_threads(config, run.validation_data), Interruption(accelerator) as interruption, records.bar:
        while progress.epoch < config.optimization.num_epochs:
            train_epoch(run, progress, records, interruption)
            progress.epoch += 1
            progress.batch = 0
            is_last = progress.epoch == config.optimization.num_epochs
            if is_last:
                records.write_loss(run.lr_scheduler.get_last_lr()[0])
            tries = rollout is not None and (is_last or is_due(config.validation.rollout_interval, progress.epoch))
            if tries or is_last or is_due(config.validation.validation_interval, progress.epoch):
                evaluate(run, progress, records, rollout if tries else None)
            if is_last or is_due(config.saving.save_interval, progress.epoch):
                save(run, progress, records)

    if accelerator.is_main_process:
        with run.averaged_weights():
            validations = [row["validation"] for row in read_metrics(config.output_dir) if "validation" in row]
            save_pipeline(run, progress, config.output_dir / "final", validations[-1])
    accelerator.end_training()


def is_due(interval: int | None, count: int) -> bool:
    """Whether something is to be done every `interval` times, after `count` of them; 0 and None are never."""
    return interval is not None and interval > 0 and count % interval == 0


def train_epoch(run: Run, progress: Progress, records: Records, interruption: Interruption) -> None:
    """The batches of an epoch that are left; logs, and saves checkpoints by `save_steps` and on interruption."""
    config, accelerator = run.config, run.accelerator
    run.model.train()
    run.loader.set_epoch(progress.epoch)
    for batch in skip_first_batches(run.loader, progress.batch) if progress.batch else run.loader:
        with accelerator.accumulate(run.model):
            loss = diffusion_loss(
                run.model, run.pipeline.policy, run.noise_scheduler, run.pipeline.normalizer, batch, config
            )
            accelerator.backward(loss)
            if config.optimization.clip_grad_norm > 0 and accelerator.sync_gradients:
                accelerator.clip_grad_norm_(run.parameters, config.optimization.clip_grad_norm)
            run.optimizer.step()
            run.optimizer.zero_grad()
        progress.batch += 1
        records.add_loss(loss)
        if not accelerator.sync_gradients:
            continue

        run.lr_scheduler.step()
        if run.ema is not None:
            run.ema.step(run.parameters)
        progress.step += 1
        records.update(run.lr_scheduler.get_last_lr()[0])
        stop = interruption.is_wanted(progress.step)
        if stop or is_due(config.saving.save_steps, progress.step):
            save(run, progress, records)
        if stop:
            raise KeyboardInterrupt


def evaluate(run: Run, progress: Progress, records: Records, rollout: Rollout | None) -> None:
    """Validates, tries the policy in closed loop if `rollout` is given, and keeps the best in `best/`.

    The best has the highest success rate where rollouts choose, then the smallest error of a chunk's first action. The
    errors of later actions are lowest long before a policy is at its best: it learns them by heart, and in closed loop
    they are predicted anew.
    """
    accelerator, config = run.accelerator, run.config
    if accelerator.is_main_process:
        with run.averaged_weights():
            values: dict[str, Any] = {"validation": validate(run.pipeline, run.validation_data)}
            score = [-values["validation"]["by_chunk_step"][0]]
            if rollout is not None:
                values["rollout"] = rollout(run.pipeline)
                score.insert(0, values["rollout"]["success_rate"])
            records.write(values)
            chooses = rollout is not None or config.validation.rollout_interval == 0
            # Scores with and without a success rate, of before and after a resume, are not compared.
            best = progress.best if progress.best and len(progress.best) == len(score) else None
            if chooses and (best is None or score > best):
                progress.best = score
                save_pipeline(run, progress, config.output_dir / "best", values["validation"])
        draw_curves(config.output_dir)
    accelerator.wait_for_everyone()


def save(run: Run, progress: Progress, records: Records) -> None:
    records.reduced_loss()
    limit = run.config.saving.checkpoints_total_limit
    save_checkpoint(run.accelerator, run.config.output_dir, progress, run.ema, run.origin, limit)


def save_pipeline(run: Run, progress: Progress, folder: Path, validation: dict[str, Any] | None = None) -> None:
    """Writes the pipeline with its model card, in the place of an earlier one."""
    config, pipeline = run.config, run.pipeline
    pipeline.model_card = render_model_card(
        pipeline,
        {
            "dataset": Path(config.data_dir).name if Path(config.data_dir).exists() else config.data_dir,
            "num_episodes": len(run.learned),
            "num_frames": run.num_windows,
            "fps": run.meta.fps,
            "epochs": progress.epoch,
            "steps": progress.step,
            "seed": config.seed,
            "keeps_random_encoder": config.keeps_random_encoder,
            "config": {name: value for name, value in plain_options(config).items() if name not in PLACES},
            "validation": validation and validation["by_joint"],
        },
    )
    with folder_written_beside(folder) as new:
        pipeline.save_pretrained(new)
        write_training(new, config.output_dir, progress)


def start_records(run: Run, progress: Progress, checkpoint: Path | None) -> Records:
    """Prints what is about to happen, writes the options down and opens the metrics."""
    config, accelerator = run.config, run.accelerator
    if accelerator.is_main_process:
        require_rows(config.output_dir, progress.metrics_rows)
        if checkpoint is not None:
            print(f"continuing {checkpoint} at epoch {progress.epoch}, update {progress.step}")
            for change in changed_options(config, config.output_dir / CONFIG_FILE):
                print(f"  changed: {change}")
        elif config.resume_from_checkpoint:
            print(f"{config.output_dir}: the run was stopped before its first checkpoint and begins anew")
        save_config(config, config.output_dir / CONFIG_FILE)
        learned = sum(parameter.numel() for parameter in run.parameters)
        frames = run.num_windows - run.num_corrections
        print(
            f"{len(run.learned)} training episodes ({frames} frames), {len(run.held_out)} held out; "
            f"{learned / 1e6:.2f} M parameters learn; {accelerator.num_processes} process(es) on {accelerator.device}"
        )
        if run.num_corrections:
            share, place = config.data.corrections_share, config.data.corrections
            print(f"{run.num_corrections} frames of corrections ({place}) are {share:.0%} of every batch")
        if (num_others := run.num_rows_of_others) > 0:
            print(f"{num_others} frames in which no person acted are seen and not learned")
        print(f"an action is {run.meta.action_meaning}; {run.meta.fps:g} actions a second")
        if not run.held_out:
            print("no episode is held out: validation measures the training episodes")
        if config.keeps_random_encoder:
            print(
                "warning: the image encoder is frozen with random weights, which saw no image; give it some with "
                "--pretrained_backbone, or let it learn with --no_freeze_image_encoder"
            )
        asked, taken = config.optimization.lr_warmup_steps, warmup_steps(config.optimization, run.num_steps)
        if taken < asked and config.optimization.lr_scheduler != "constant":
            print(f"the learning rate rises for {taken} updates in place of {asked}: a tenth of the {run.num_steps}")
    if config.saving.tracker != "none":
        accelerator.init_trackers("dp_hf", config={name: str(value) for name, value in plain_options(config).items()})
    return Records(accelerator, config.output_dir, progress, run.num_steps, config.saving.log_interval)
