"""Train a tiny policy from scratch on the demonstrations of a task's world; begin with `fitting.py`."""
