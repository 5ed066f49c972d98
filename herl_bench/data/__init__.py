"""Where examples come from, and the gate that keeps evaluation items out of training."""
