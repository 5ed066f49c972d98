"""Policies: load a model with its tokenizer, or speak to a server; let it write."""
