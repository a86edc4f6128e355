"""Draws disturbances.png: what the camera in front sees in each scene of the table of disturbances.

python scripts/figures/disturbances.py
"""

from pathlib import Path

from dp_hf.simulation.layouts import EVALUATION, layout_seeds
from dp_hf.simulation.sheet import write_sheet

if __name__ == "__main__":
    write_sheet(Path(__file__).with_suffix(".png"), layout_seeds(EVALUATION, 0, 4))
