"""Draws architecture.png beside itself: what happens between a camera frame and the arm's next actions."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

DATA, NETWORK, PLAIN = "#f6e3cf", "#cfe0f3", "#e6e6e6"

# name: (x, y, width, height, colour, text)
BOXES = {
    "image": (0.0, 2.1, 1.7, 0.9, DATA, "camera frames\nuint8, n_obs_steps"),
    "state": (0.0, 0.7, 1.7, 0.9, DATA, "arm state, in its units\n(state_dim)"),
    "encoder": (2.3, 2.1, 1.9, 0.9, NETWORK, "image encoder\ntimm or small CNN\n(once per observation)"),
    "normalizer": (2.3, 0.7, 1.9, 0.9, PLAIN, "normalizer\nunits to [-1, 1]"),
    "observation": (4.8, 1.4, 1.6, 0.9, PLAIN, "observation\nfeatures"),
    "denoiser": (7.0, 1.4, 1.9, 0.9, NETWORK, "denoiser\nMLP or 1-D U-Net"),
    "scheduler": (7.0, 0.0, 1.9, 0.8, PLAIN, "noise scheduler\nDDPM, DDIM, ..."),
    "noise": (4.8, 0.0, 1.6, 0.8, DATA, "noise\n(horizon, action_dim)"),
    "actions": (9.5, 0.0, 2.0, 0.8, DATA, "actions, in its units\n(horizon, action_dim)"),
}
ARROWS = [
    ("image", "encoder"),
    ("state", "normalizer"),
    ("encoder", "observation"),
    ("normalizer", "observation"),
    ("observation", "denoiser"),
    ("noise", "scheduler"),
    ("scheduler", "actions"),
]


def anchor(name: str, side: str) -> tuple[float, float]:
    x, y, width, height, *_ = BOXES[name]
    points = {
        "left": (x, y + height / 2),
        "right": (x + width, y + height / 2),
        "top": (x + width / 2, y + height),
        "bottom": (x + width / 2, y),
    }
    return points[side]


def arrow(axis, start: tuple[float, float], end: tuple[float, float], curve: float = 0.0) -> None:
    style = f"arc3,rad={curve}"
    axis.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color="#444", connectionstyle=style)
    )


figure, axis = plt.subplots(figsize=(11.8, 3.4), layout="constrained")
for x, y, width, height, colour, text in BOXES.values():
    box = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.02,rounding_size=0.08", facecolor=colour)
    axis.add_patch(box)
    axis.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9.5)
for start, end in ARROWS:
    arrow(axis, anchor(start, "right"), anchor(end, "left"))
(left, bottom), (right, top) = anchor("denoiser", "bottom"), anchor("scheduler", "top")
arrow(axis, (left - 0.35, bottom), (right - 0.35, top))
arrow(axis, (right + 0.35, top), (left + 0.35, bottom))
axis.text(right + 0.55, (top + bottom) / 2, "10 to 1000 times", va="center", fontsize=9, color="#444")
axis.set(xlim=(-0.1, 11.7), ylim=(-0.15, 3.2))
axis.axis("off")
figure.savefig(Path(__file__).with_name("architecture.png"), dpi=110)
