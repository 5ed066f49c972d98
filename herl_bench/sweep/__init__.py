"""Many runs, several at a time: what there is to run (`cells.py`), and where it runs, here or on Ray (`pools.py`)."""
