"""Entry point inside the sandbox: split into spawner and tester. argv: the descriptor of the host's socket, options as JSON."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys

from . import kernel, spawner

# What programs import often. Every module here makes every fork dearer (hashlib alone maps all of libcrypto).
PRELOAD = "abc bisect collections collections.abc copy enum functools heapq io itertools json math operator random re string threading time typing"
TESTER_MEMORY = 1 << 30


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the host's to handle
    host = socket.socket(fileno=int(sys.argv[1]))
    options = json.loads(sys.argv[2])
    for name in options.get("preload", PRELOAD).split():
        __import__(name)
    if options["drop_to"]:
        kernel.drop_to(options["drop_to"])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        try:
            ours.close()
            host.close()
            spawner.main(theirs, options)
        finally:
            os._exit(1)
    theirs.close()
    kernel.die_with_parent() if options["isolated"] else None
    resource.setrlimit(resource.RLIMIT_AS, (TESTER_MEMORY, TESTER_MEMORY))
    from . import tester  # only now: what the tester imports must not lie in the candidates' memory

    tester.main(host, ours, options)
