"""Cube stacking with a simulated myCobot 280: environment, expert, recorder and closed-loop rollouts.

Importing this package registers the environment:

```python
import gymnasium
import dp_hf.simulation

env = gymnasium.make("dp_hf/CubeStacking-v0")
```
"""

from dp_hf.simulation.headless import ENVIRONMENT_ID, prepare

prepare()

__all__ = ["ENVIRONMENT_ID"]
