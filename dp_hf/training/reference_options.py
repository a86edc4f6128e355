"""Flags of the reference's training command that have another name here, or none: each is obeyed or answered."""

from collections.abc import Mapping, Sequence

from dp_hf.errors import UserError

# The reference's flag to ours, which the flag's own value follows.
RENAMED: Mapping[str, Sequence[str]] = {
    "resume_from": ("--init_from",),
    "time_emb_dim": ("--time_embed_dim",),
    "freeze_resnet": ("--freeze_image_encoder",),
    "no_freeze_resnet": ("--no_freeze_image_encoder",),
    "use_pretrained_resnet": ("--pretrained_backbone", "timm"),
    "no_use_pretrained_resnet": ("--pretrained_backbone", "none"),
}
ANSWERS: Mapping[str, str] = {
    "num_episodes": "training takes every episode of --data_dir: give a folder that holds those that you want",
    "eval_data_dir": "--validation_fraction holds out whole episodes of --data_dir and validates on them; other "
    "recordings are compared with a trained policy by `dp-hf infer --episode FOLDER`",
    "eval_batch_size": "validation chooses the size of its batches: leave it out",
    "num_eval_samples": "the number of held-out windows that are validated on is --validation_windows",
    "image_feature_dim": "the width of the image features follows from --image_encoder, 512 for a ResNet34: leave it "
    "out",
    "gpu_id": "the GPU is chosen outside: CUDA_VISIBLE_DEVICES=N dp-hf train ..., or accelerate launch --gpu_ids N",
}


def in_our_words(flags: Sequence[str]) -> list[str]:
    """The flags of a command line with ours in place of the reference's.

    Raises:
        UserError: one that has no counterpart; says what does its work.
    """
    ours: list[str] = []
    for argument in flags:
        flag, equals, value = argument.partition("=")
        name = flag[2:].replace("-", "_") if flag.startswith("--") else ""
        if name in ANSWERS:
            raise UserError(f"--{name} is the reference's: {ANSWERS[name]}")
        if name in RENAMED:
            *before, last = RENAMED[name]
            ours += [*before, f"{last}{equals}{value}"]
        else:
            ours.append(argument)
    return ours
