"""Packages that tests install, as pip does."""

import subprocess
import sys

OFFLINE = ("-q", "--no-deps", "--no-build-isolation", "--no-index")


def install(target, *folders):
    """The packages in these folders, into the folder `target`, which it gives."""
    words = [sys.executable, "-m", "pip", "install", *OFFLINE, "--target", target, *folders]
    subprocess.run([str(word) for word in words], check=True, capture_output=True)
    return target
