"""A pipeline's folder and its repository on the Hub: written, read and pushed."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from diffusers import DiffusionPipeline
from diffusers.utils import logging
from huggingface_hub import CommitInfo

from dp_hf.alarm.limits import AlarmLimits
from dp_hf.errors import UserError
from dp_hf.files import full_disk_named, user_path, user_place
from dp_hf.hub.card import CARD_FILE, read_text
from dp_hf.hub.repository import download_snapshot
from dp_hf.hub.upload import upload_folder
from dp_hf.models.normalizer import Normalizer
from dp_hf.models.onnx_policy import OnnxPolicy
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.models.saved_model import refuse_unknown_options, with_known_dtype
from dp_hf.pipelines.alarm_folder import read_alarm, write_alarm
from dp_hf.pipelines.folder import require_pipeline
from dp_hf.pipelines.model_card import render_model_card
from dp_hf.pipelines.saved_parts import faults_in, require_sampling, require_saved_parts

Pipeline = TypeVar("Pipeline", bound="PretrainedPipeline")


class PretrainedPipeline(DiffusionPipeline):
    """What `DiffusionPolicyPipeline` does beside acting: it is saved, loaded and pushed, with its model card.

    Attributes:
        model_card: text of the README.md where it was set or loaded; None has it rendered from the configuration.
        alarm: when its scores are strange; None where nobody has measured that.
    """

    model_card: str | None = None
    alarm: AlarmLimits | None = None

    def save_pretrained(self, save_directory: str | Path, **kwargs) -> None:
        """Writes the pipeline's folder: components, `model_index.json` and the model card `README.md`."""
        if kwargs.pop("push_to_hub", False):
            raise UserError("save_pretrained only saves; call push_to_hub(repo_id) to upload")
        folder = user_path(save_directory)
        super().save_pretrained(str(folder), **kwargs)
        write_alarm(folder, self.alarm)
        (folder / CARD_FILE).write_text(self.card(), encoding="utf-8")

    def card(self) -> str:
        """The model card: `model_card`, else one rendered from the configuration."""
        return self.model_card or render_model_card(self)

    @classmethod
    def from_pretrained(
        cls: type[Pipeline],
        pretrained_model_name_or_path: str | Path,
        backend: Literal["torch", "onnx"] | None = None,
        **kwargs,
    ) -> Pipeline:
        """Loads a pipeline from a folder, or from the Hub by repository id; further arguments as in diffusers.

        Args:
            backend: what runs the policy; a pipeline that `dp-hf export-policy` wrote is `onnx`, any other `torch`.
                None takes what is there.
            kwargs: `policy` among them, a policy of the caller's own class, loaded by that class.

        Raises:
            UserError: no such pipeline, one for another backend, one whose policy is of somebody's own class, an option
                that there is not, or a file that is absent, cut or damaged, or that lacks something which changes the
                actions.
        """
        source = user_place(str(pretrained_model_name_or_path))
        require_pipeline(source)
        if not Path(source).exists():
            source = cls.download(source, **kwargs)
        require_saved_parts(Path(source), given=kwargs)
        with no_progress_bar(), faults_in(source):
            pipeline = super().from_pretrained(source, **with_known_dtype(kwargs))
            require_sampling(pipeline.scheduler)
        found = "onnx" if isinstance(pipeline.policy, OnnxPolicy) else "torch"
        if backend not in (None, found):
            raise UserError(f"{source} is for {found}, not for {backend}; dp-hf export-policy makes one for onnx")
        if "policy" not in kwargs and kwargs.get("variant") is None:
            pipeline.alarm = read_alarm(Path(source), pipeline.policy.config)
        card = Path(source) / CARD_FILE
        pipeline.model_card = read_text(card) if card.is_file() else None
        return pipeline

    @classmethod
    def load_config(cls, *args, **kwargs) -> "dict | tuple":
        """As in diffusers, but its classes are the installed ones whatever the file says: loading a repository that
        brings code of its own (see `dp_hf.interop.bundled_code`) does not run that code."""
        loaded = super().load_config(*args, **kwargs)
        config = loaded[0] if isinstance(loaded, tuple) else loaded
        config["_class_name"] = cls.__name__
        config["scheduler"] = ["diffusers", config["scheduler"][1]]
        policy = OnnxPolicy if config["policy"][1] == OnnxPolicy.__name__ else DiffusionPolicyModel
        for name, component in (("policy", policy), ("normalizer", Normalizer)):
            config[name] = [component.__module__, component.__name__]
        return loaded

    @classmethod
    def extract_init_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> tuple[dict, dict, dict]:
        """As in diffusers, which has taken its own options from `kwargs` before; raises `UserError` for others."""
        refuse_unknown_options(cls, kwargs)
        return super().extract_init_dict(config_dict, **kwargs)

    @classmethod
    def download(cls, pretrained_model_name: str, **kwargs) -> str:
        """The folder of a snapshot from the Hub. Stock `download` cannot read component paths outside diffusers."""
        known = ("cache_dir", "force_download", "token", "local_files_only", "revision")
        options = {name: kwargs[name] for name in known if kwargs.get(name) is not None}
        patterns = ["*.json", "*.safetensors", "*.onnx", "*.md", "*.py"]
        return str(download_snapshot(pretrained_model_name, allow_patterns=patterns, **options))

    def push_to_hub(
        self,
        repo_id: str,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | None = None,
        create_pr: bool = False,
        *,
        variant: str | None = None,
        revision: str | None = None,
        prepare: Callable[[Path], None] | None = None,
    ) -> CommitInfo:
        """Uploads the pipeline with its model card; creates the repository, and the branch, where there is none.

        What people have written or added there stays; files of an earlier push that are no part of this one go, unless
        a `variant` is pushed, which lies beside them. The first arguments are those of diffusers, in its order; weights
        are always safetensors.

        Args:
            repo_id: `user/name`.
            commit_message: of the commit.
            private: for a new repository; None takes the account's default.
            token: None takes the one that `hf auth login` stored, or HF_TOKEN.
            create_pr: opens a pull request in place of a commit.
            variant: of the weights' file names, such as `fp16`; loaded by `from_pretrained(..., variant="fp16")`.
            revision: branch that is pushed to.
            prepare: is given the folder before it is uploaded, and may change it.

        Returns:
            what the Hub says of the commit: its `commit_url`, and the `pr_url` of a pull request.

        Raises:
            UserError: an argument of another kind, such as a flag for the message, or the Hub's refusal.
        """
        if not isinstance(commit_message, (str, type(None))):
            raise UserError(
                f"commit_message is a text, not {commit_message!r}; private=True makes a private repository"
            )
        with tempfile.TemporaryDirectory() as folder, full_disk_named(Path(folder)):
            self.save_pretrained(folder, variant=variant)
            if prepare is not None:
                prepare(Path(folder))
            return upload_folder(
                folder,
                repo_id,
                private=private,
                token=token,
                revision=revision,
                commit_message=commit_message,
                create_pr=create_pr,
                keep_others=variant is not None,
            )


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Without diffusers' bar over three small components."""
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()
