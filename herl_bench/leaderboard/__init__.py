"""Rank runs; bundle, verify and publish them."""
