"""Train, evaluate, score and compare as calls: from names to objects, and what the command line does."""
