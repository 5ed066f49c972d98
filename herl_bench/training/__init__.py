"""The built-in methods. `herl.py` is HeRL and PPO from top to bottom; losses and advantages are pure functions."""
