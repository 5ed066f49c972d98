"""Evaluate policies, servers and stored responses; write and read lm-eval's files."""
