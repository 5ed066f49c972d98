"""Entry point inside the sandbox: split into spawner and tester. argv: the host socket's descriptor, JSON options."""

from __future__ import annotations

import _sitebuiltins
import builtins
import json
import os
import resource
import signal
import socket
import sys
from typing import Any

from . import arrays, kernel, landlock, spawner

# What programs import often. Every module here makes every fork dearer (hashlib alone maps all of libcrypto).
PRELOAD = (
    "abc bisect collections collections.abc copy enum functools heapq io itertools json math operator random re string"
    " threading time typing"
)
TESTER_MEMORY = 1 << 30


def confine(options: dict[str, Any]) -> None:
    """Leave root; and where no namespace hides the host's files, keep the tests' own process from them too."""
    if options["drop_to"]:
        kernel.drop_to(options["drop_to"])
    library = os.path.dirname(os.__file__)
    if not os.access(library, os.R_OK | os.X_OK):
        raise SystemExit(
            f"uid {os.getuid()} may not read {library}: use a Python that everybody may read, or another user than root"
        )
    if options["tier"] == "landlock":
        rules = landlock.make_ruleset(
            landlock.read_abi(), landlock.allow_reading([*options["readable"], "/proc"]), None
        )
        kernel.make(kernel.forbid_new_privileges(), landlock.restrict(rules))


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the host's to handle
    host = socket.socket(fileno=int(sys.argv[1]))
    options = json.loads(sys.argv[2])
    sys.path.extend(options["paths"])
    for name in [*PRELOAD.split(), *options["packages"]]:
        __import__(name)
    arrays.NUMPY = sys.modules.get("numpy")
    for name in ("exit", "quit"):  # which `site` would have made
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D"))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        try:
            ours.close()
            host.close()
            confine(options)
            spawner.main(theirs, options)
        finally:
            os._exit(1)
    theirs.close()
    resource.setrlimit(resource.RLIMIT_AS, (TESTER_MEMORY, TESTER_MEMORY))
    from . import tester  # only now: what the tester imports must not lie in the candidates' memory

    confine(options)
    tester.main(host, ours)
