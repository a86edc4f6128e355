"""LeRobot's diffusion policy, to be timed: run by LeRobot's Python for `beside_lerobot.py`, which asks on its input.

Options: {"down_dims": null, "threads": 2, "train_batch": 0}. `train_batch` 0 samples a chunk with 10 steps of DDIM;
otherwise a training step of that batch is timed. Everything else is the default of LeRobot's version, but for the
pretrained weights of its image encoder, which would be downloaded.
"""

import json
import sys
import time

import lerobot
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy


def main() -> None:
    options = json.loads(sys.argv[1])
    torch.set_num_threads(options["threads"])
    config = DiffusionConfig(
        input_features={
            "observation.image": PolicyFeature(type=FeatureType.VISUAL, shape=(3, 224, 224)),
            "observation.state": PolicyFeature(type=FeatureType.STATE, shape=(7,)),
        },
        output_features={"action": PolicyFeature(type=FeatureType.ACTION, shape=(7,))},
        noise_scheduler_type="DDIM",
        num_inference_steps=10,
        crop_shape=None,
        pretrained_backbone_weights=None,
        device="cpu",
        **({"down_dims": tuple(options["down_dims"])} if options["down_dims"] else {}),
    )
    policy = DiffusionPolicy(config)
    batch, n_obs, horizon = options["train_batch"] or 1, config.n_obs_steps, config.horizon
    inputs = {
        "observation.images": torch.rand(batch, n_obs, 1, 3, 224, 224),
        "observation.state": torch.rand(batch, n_obs, 7),
    }
    if options["train_batch"]:
        policy.train()
        inputs |= {
            "action": torch.rand(batch, horizon, 7),
            "action_is_pad": torch.zeros(batch, horizon, dtype=torch.bool),
        }
        optimizer = torch.optim.Adam(policy.parameters())

        def work() -> None:
            optimizer.zero_grad()
            policy.diffusion.compute_loss(inputs).backward()
            optimizer.step()
    else:
        policy.eval()

        @torch.no_grad()
        def work() -> None:
            policy.diffusion.generate_actions(inputs)

    work()
    parameters = sum(parameter.numel() for parameter in policy.parameters())
    about = {"version": lerobot.__version__, "horizon": horizon, "n_obs_steps": n_obs, "parameters": parameters}
    for _ in sys.stdin:
        start = time.process_time()
        work()
        print(json.dumps(about | {"seconds": time.process_time() - start}), flush=True)


if __name__ == "__main__":
    main()
