"""Rank runs; make, verify and publish entries: `rank`, `make_bundle`, `verify_bundle`, `build_site`."""
