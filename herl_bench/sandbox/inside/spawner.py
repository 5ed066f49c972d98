"""The spawner: a small warm process that forks one confined candidate per request. It never sees a candidate's code.

Covers: per candidate its own user, pid, mount and ipc namespace, an empty /tmp of bounded size, no /proc, no capabilities, resource
limits, Landlock, seccomp; killing it (it is init of its pid namespace, so nothing of it survives) and reporting what it used.
Leaves out: the network namespace, which the candidates share, empty and without a loopback device that is up; and threads' own stacks.
Requests from the tester: {"spawn": limits} with the candidate's socket attached, and for a script its input and output;
{"waited": number} answered by the seconds for which it was ready to run and got no processor, {"end": number} answered by
[status, peak kB, cpu s] of one that ended itself, {"kill": number} answered by the same of one that still runs: it dies while the next job
is under way.
"""

from __future__ import annotations

import array
import gc
import json
import os
import select
import signal
import socket
import time
from typing import Any, NamedTuple

from . import candidate, frames, kernel, landlock, seccomp

STREAM = 3
DESCRIPTORS_TO_CLOSE = 1024
BURY_S = 0.02  # how often an idle spawner looks whether those that it killed are dead
PROCESS_CPU_CLOCK = 2  # the low bits of a process's clock number, with the negated pid above them (linux/posix-timers.h)
MEGABYTE = 1 << 20


class Setting(NamedTuple):  # not a dataclass: that module loads much, and every candidate would carry it
    """What holds for every candidate of this worker.

    readable: what a program may read (the interpreter and its libraries), as `landlock.places`. runnable: what one that may make processes
    may also read, and run. isolated: in namespaces. confined: by Landlock and seccomp; False only for the unsafe tier.
    """

    readable: list[tuple[int, int]]
    runnable: list[tuple[int, int]]
    isolated: bool
    confined: bool
    landlock: int
    threads_filter: bytes
    processes_filter: bytes
    uid: int
    gid: int


def setting(options: dict[str, Any]) -> Setting:
    isolated, confined = options["tier"] == "namespaces", options["tier"] != "none"
    machine = os.uname().machine
    return Setting(
        readable=landlock.places(options["readable"]) if confined else [],
        runnable=landlock.places([*options["readable"], *options["programs"]], landlock.EXECUTE) if isolated else [],
        isolated=isolated,
        confined=confined,
        landlock=landlock.abi() if confined else 0,
        threads_filter=seccomp.program(machine, own_files=isolated) if confined else b"",
        processes_filter=seccomp.program(machine, processes=True) if isolated else b"",
        uid=os.getuid(),
        gid=os.getgid(),
    )


def confine(limits: dict[str, Any], fixed: Setting) -> None:
    """Give up everything, in the order in which the later steps still allow the earlier ones."""
    alone = limits["processes"] == 1
    kernel.die_with_parent()
    if fixed.isolated:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC)
        kernel.map_own_user(fixed.uid, fixed.gid)
        quiet = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount("scratch", "/tmp", "tmpfs", quiet, f"size={limits['scratch_mb']}m,nr_inodes={limits['inodes']},mode=700")
        kernel.mount("none", "/proc", "tmpfs", quiet | kernel.MS_RDONLY, "size=4k")
        if not alone:
            kernel.mount("/tmp", "/dev/shm", "none", kernel.MS_BIND)  # semaphores of multiprocessing, in the same bounded scratch
        elif not fixed.landlock:
            kernel.mount("none", "/dev/shm", "tmpfs", quiet | kernel.MS_RDONLY, "size=4k")
        os.chdir("/tmp")
    kernel.limit_resources(
        memory=limits["memory_mb"] * MEGABYTE,
        cpu=max(1, round(limits["cpu_s"] + 0.499)),
        file=limits["file_mb"] * MEGABYTE,
        tasks=(limits["threads"] if alone else limits["processes"]) if fixed.isolated else None,
    )
    if fixed.confined:
        kernel.drop_capabilities()
        if fixed.landlock:
            landlock.restrict(fixed.landlock, fixed.readable if alone else fixed.runnable, "/tmp" if fixed.isolated else None)
    kernel.limit_descriptors(limits["open_files"])  # only now: the spawner's own are still open, and Landlock needs one more
    if fixed.confined:
        seccomp.load(fixed.threads_filter if alone else fixed.processes_filter)


def become_candidate(server: candidate.Server, descriptor: int, files: list[int], limits: dict[str, Any], fixed: Setting) -> None:
    """The child's whole life. The tester sends the code only after it has read "ready", so a failed set-up is never the program's doing."""
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(files[standard] if standard < len(files) else null, standard)
    stream = socket.socket(fileno=descriptor)
    try:
        confine(limits, fixed)
        os.dup2(stream.detach(), STREAM)
        os.closerange(STREAM + 1, DESCRIPTORS_TO_CLOSE)
        stream = socket.socket(fileno=STREAM)
        frames.send(stream, ["ready"])
    except OSError as error:
        frames.send(stream, ["setup", str(error)])
        return
    candidate.main(server, stream, limits["message_mb"] * MEGABYTE)


def waited(pid: int | str) -> float:
    """Seconds on the run queue without running, of the main thread; 0 where the kernel does not count them."""
    try:
        with open(f"/proc/{pid}/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except OSError:
        return 0.0


def outside(pid: int) -> int:
    """The number of a child in the /proc that we see, an outer pid namespace's: only a pidfd tells. -1 for one that has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        return int(field(f"/proc/self/fdinfo/{descriptor}", b"Pid:"))
    finally:
        os.close(descriptor)


def field(path: str, name: bytes) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 4096).partition(b"\n" + name)[2].split(None, 1)[0]
    finally:
        os.close(descriptor)


def usage(pid: int) -> tuple[int, float]:
    """(peak kB, cpu s) of a child that runs."""
    return int(field(f"/proc/{outside(pid)}/status", b"VmHWM:")), time.clock_gettime(~pid << 3 | PROCESS_CPU_CLOCK)


class Spawner:
    def __init__(self, control: socket.socket, fixed: Setting):
        self.control = control
        self.fixed = fixed
        self.server = candidate.prepare()
        self.children: dict[int, int] = {}
        self.dying: list[int] = []
        self.spawned = 0
        self.own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY) if fixed.isolated else -1

    def serve(self) -> None:
        while True:
            while self.dying and not select.select([self.control], [], [], BURY_S)[0]:
                self.bury()
            message, ancillary, _, _ = self.control.recvmsg(1 << 12, socket.CMSG_SPACE(3 * 4))
            if not message:
                return
            request = json.loads(message)
            if "spawn" in request:
                descriptor, *files = array.array("i", ancillary[0][2])
                self.bury()
                self.spawn(descriptor, files, request["spawn"])
            else:
                answer = self.answer(request)
                self.control.send(json.dumps(answer).encode())

    def spawn(self, descriptor: int, files: list[int], limits: dict[str, Any]) -> None:
        if self.fixed.isolated:
            kernel.unshare(kernel.CLONE_NEWPID)
        pid = kernel.fork()
        if pid == 0:
            try:
                become_candidate(self.server, descriptor, files, limits, self.fixed)
            finally:
                os._exit(0)
        if self.fixed.isolated:
            kernel.setns(self.own_pids, kernel.CLONE_NEWPID)
        for sent in (descriptor, *files):
            os.close(sent)
        self.children[self.spawned] = pid
        self.spawned += 1

    def answer(self, request: dict[str, int]) -> Any:
        ((what, number),) = request.items()
        if what == "waited":
            return waited(outside(self.children[number]))
        pid = self.children.pop(number)
        if what == "kill":
            try:
                peak, cpu = usage(pid)
            except (OSError, ValueError, IndexError):
                pass  # it ended meanwhile
            else:
                os.kill(pid, signal.SIGKILL)  # not yet reaped, so the number cannot have been given to anybody else
                self.dying.append(pid)
                return [signal.SIGKILL, peak, cpu]
        os.kill(pid, signal.SIGKILL)
        _, status, used = os.wait4(pid, 0)
        return [status, used.ru_maxrss, used.ru_utime + used.ru_stime]

    def bury(self) -> None:
        """Reap who was killed; wait only where more than two are still dying, so that their memory does not add up."""
        while self.dying and os.waitpid(self.dying[0], os.WNOHANG if len(self.dying) < 3 else 0)[0]:
            del self.dying[0]


def main(control: socket.socket, options: dict[str, Any]) -> None:
    """Enter a namespace in which candidates may be made, and serve until the tester goes away."""
    kernel.die_with_parent()
    fixed = setting(options)
    if fixed.isolated:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC)
        kernel.map_own_user(fixed.uid, fixed.gid)
        first = os.fork()
        if first:
            os.waitpid(first, 0)
            return
        kernel.die_with_parent()
        kernel.mount("none", "/", "none", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.limit_what_nobody_needs()
    spawner = Spawner(control, fixed)
    gc.collect()
    gc.freeze()  # a collection in the child must not touch, and so copy, the parent's pages
    spawner.serve()
