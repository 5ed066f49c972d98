"""One actor-critic trainer for PPO and HeRL. Losses and advantages are pure functions; `trainer.py` reads top to
bottom."""
