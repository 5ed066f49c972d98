"""The spawner: a small warm process that forks one confined candidate per request. It never sees a candidate's code.

Covers: per candidate its own user, pid and mount namespace, an empty /tmp of bounded size, no /proc, no capabilities,
resource limits, Landlock, seccomp; killing it (it is init of its pid namespace, so nothing of it survives) and telling
what it used. Leaves out: the network and ipc namespaces, which the candidates share: the one is empty and without a
loopback device that is up, the other no call that seccomp lets through can reach; and threads' own stacks.

What can be done before the fork is done there, and what must be done after it is made up before: the kernel copies each
page that the child or, while the child lives, the spawner writes to, and that is most of what a candidate costs.

Requests from the tester, each one letter and what it is about: "s" and limits as JSON, with the candidate's socket
attached, and for a script its input and output; "w" and a number, answered by the seconds for which that candidate was
ready to run and got no processor; "e" and a number, answered by [status, peak kB, cpu s] of one that ended itself; "k"
and a number, answered by the same of one that still runs: it dies while the next job is under way.
"""

from __future__ import annotations

import gc
import json
import math
import os
import signal
import socket
import struct
import time
from typing import Any, NamedTuple

from . import candidate, frames, kernel, landlock, rehearsal, seccomp

STREAM = 3
DESCRIPTORS_TO_CLOSE = 1024
BURY_S = 0.02  # how often an idle spawner looks whether those that it killed are dead
PROCESS_CPU_CLOCK = 2  # the low bits of a process's clock number; above them the negated pid (linux/posix-timers.h)
MEGABYTE = 1 << 20
LONGEST_NUMBER = 24  # letters of one in a file of /proc, with room to spare
STATUS_FILE = 4096  # bytes of the longest file of /proc that is read
QUIET = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
READY = frames.pack(["ready"])

NUMBER = struct.Struct("=cI")
USED = struct.Struct("=iQd")
SECONDS = struct.Struct("=d")
DESCRIPTOR = struct.Struct("i")


class Setting(NamedTuple):  # not a dataclass: that module loads much, and every candidate would carry it
    """For every candidate of a worker. readable: the interpreter and its libraries. runnable: what one that may make
    processes may also read, and run. isolated: in namespaces. confined: by Landlock and seccomp; not if unsafe."""

    readable: list[landlock.Rule]
    runnable: list[landlock.Rule]
    isolated: bool
    confined: bool
    landlock: int
    threads_filter: bytes
    processes_filter: bytes


def make_setting(options: dict[str, Any]) -> Setting:
    isolated, confined = options["tier"] == "namespaces", options["tier"] != "none"
    machine, runnable = os.uname().machine, [*options["readable"], *options["programs"]]
    return Setting(
        readable=landlock.allow_reading(options["readable"]) if confined else [],
        runnable=landlock.allow_reading(runnable, landlock.EXECUTE) if isolated else [],
        isolated=isolated,
        confined=confined,
        landlock=landlock.read_abi() if confined else 0,
        threads_filter=seccomp.build_filter(machine, own_files=isolated) if confined else b"",
        processes_filter=seccomp.build_filter(machine, processes=True) if isolated else b"",
    )


class Plan(NamedTuple):
    """What happens to every candidate with the same limits. before: by the spawner, whose new namespaces the candidate
    is born into. first, last: by the candidate itself, before and after Landlock. message: bytes of its largest."""

    before: list[kernel.Call]
    rules: list[landlock.Rule]
    first: list[kernel.Call]
    last: list[kernel.Call]
    message: int


def make_plan(limits: dict[str, Any], setting: Setting) -> Plan:
    """In the order in which the later steps still allow the earlier ones."""
    alone = limits["processes"] == 1
    before, first = [], [kernel.die_with_parent()]
    last = [kernel.limit_descriptors(limits["open_files"])]  # only then: the spawner's own are open before
    if setting.isolated:
        scratch = f"size={limits['scratch_mb']}m,nr_inodes={limits['inodes']},mode=700"
        before.append(kernel.unshare(kernel.CLONE_NEWPID | kernel.CLONE_NEWNS))
        before.append(kernel.mount("scratch", "/tmp", "tmpfs", QUIET, scratch))
        if not alone:  # semaphores of multiprocessing, in the same scratch
            before.append(kernel.mount("/tmp", "/dev/shm", "none", kernel.MS_BIND))
        before.append(kernel.change_directory("/tmp"))
        # Without a user of its own in it: the scratch belongs to the namespace outside.
        first.append(kernel.unshare(kernel.CLONE_NEWUSER))
    first += kernel.limit_resources(
        memory=limits["memory_mb"] * MEGABYTE,
        cpu=max(1, math.ceil(limits["cpu_s"])),
        file=limits["file_mb"] * MEGABYTE,
        tasks=(limits["threads"] if alone else limits["processes"]) if setting.isolated else None,
    )
    if setting.confined:
        first.append(kernel.drop_capabilities())
        last.append(seccomp.load(setting.threads_filter if alone else setting.processes_filter))
    return Plan(before, setting.readable if alone else setting.runnable, first, last, limits["message_mb"] * MEGABYTE)


def become_candidate(server: candidate.Server, descriptor: int, files: list[int], ruleset: int, plan: Plan) -> None:
    """The child's life. The tester sends code only after "ready", so a failed set-up is never the program's doing."""
    greeting = READY
    for standard, given in enumerate(files):
        os.dup2(given, standard)
    try:
        kernel.make(*plan.first)
        if ruleset >= 0:
            kernel.make(landlock.restrict(ruleset))
        kernel.make(*plan.last)
    except OSError as error:
        greeting = frames.pack(["setup", str(error)])
    os.dup2(descriptor, STREAM)
    os.closerange(STREAM + 1, DESCRIPTORS_TO_CLOSE)
    server.stream.sendall(greeting)
    if greeting is READY:
        candidate.main(server, plan.message)


class Processes:
    """What /proc tells of the candidates, though they are numbered otherwise there and none of them may see it."""

    def __init__(self) -> None:
        self.folder = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
        self.page = bytearray(STATUS_FILE)

    def read_number(self, path: str, after: bytes) -> int:
        """The one that follows these words. ValueError where they are not there. The file is read to one place and
        wiped: it spells the name that a program gave itself, which the next one must not find in its memory."""
        descriptor = os.open(path, os.O_RDONLY, dir_fd=self.folder)
        try:
            size = os.readv(descriptor, [self.page])
        finally:
            os.close(descriptor)
        try:
            start = self.page.index(after) + len(after)
            return int(self.page[start : start + LONGEST_NUMBER].split(None, 1)[0])
        finally:
            self.page[:size] = bytes(size)

    def find_outer(self, pid: int) -> int:
        """A child's number in the /proc that we see, an outer namespace's: only a pidfd tells. -1 once it has ended."""
        descriptor = os.pidfd_open(pid)
        try:
            return self.read_number(f"self/fdinfo/{descriptor}", b"\nPid:")
        finally:
            os.close(descriptor)

    def read_waited(self, pid: int) -> float:
        """Seconds on the run queue without running, of the main thread; 0 where the kernel does not count them."""
        try:
            return self.read_number(f"{self.find_outer(pid)}/schedstat", b" ") / 1e9
        except (OSError, ValueError):
            return 0.0

    def read_usage(self, pid: int) -> tuple[int, float]:
        """(peak kB, cpu s) of a child that runs."""
        peak = self.read_number(f"{self.find_outer(pid)}/status", b"\nVmHWM:")
        return peak, time.clock_gettime(~pid << 3 | PROCESS_CPU_CLOCK)


class Spawner:
    def __init__(self, control: socket.socket, setting: Setting, server: candidate.Server):
        self.control = control
        self.setting = setting
        self.server = server
        self.processes = Processes()
        self.plans: dict[bytes, Plan] = {}
        self.children: dict[int, int] = {}
        self.dying: list[int] = []
        self.spawned = 0
        self.home: list[kernel.Call] = []
        if setting.isolated:
            for name, kind in (("pid", kernel.CLONE_NEWPID), ("mnt", kernel.CLONE_NEWNS)):
                self.home.append(kernel.setns(os.open(f"/proc/self/ns/{name}", os.O_RDONLY), kind))

    def serve(self) -> None:
        while True:
            self.control.settimeout(BURY_S if self.dying else None)
            try:
                message, ancillary, _, _ = self.control.recvmsg(1 << 12, 64)
            except TimeoutError:
                self.bury()
                continue
            if not message:
                return
            if ancillary:
                self.bury()
                self.spawn(message, [number for (number,) in DESCRIPTOR.iter_unpack(ancillary[0][2])])
            else:
                self.control.send(self.answer(*NUMBER.unpack(message)))

    def spawn(self, request: bytes, sent: list[int]) -> None:
        plan = self.plans.get(request)
        if plan is None:
            plan = self.plans[request] = make_plan(json.loads(request[1:]), self.setting)
        ruleset, trouble, setting = -1, "", self.setting
        try:
            kernel.make(*plan.before)
            if setting.landlock:
                ruleset = landlock.make_ruleset(setting.landlock, plan.rules, "/tmp" if setting.isolated else None)
            pid = kernel.fork()
            if pid == 0:
                try:
                    become_candidate(self.server, sent[0], sent[1:], ruleset, plan)
                finally:
                    os._exit(0)
            self.children[self.spawned] = pid
        except OSError as error:
            trouble = str(error)
        kernel.make(*self.home)
        if trouble:
            os.write(sent[0], frames.pack(["setup", trouble]))
        for descriptor in sent if ruleset < 0 else [*sent, ruleset]:
            os.close(descriptor)
        self.spawned += 1

    def answer(self, what: bytes, number: int) -> bytes:
        if number not in self.children:  # it never came to life
            return USED.pack(0, 0, 0.0)
        if what == b"w":
            return SECONDS.pack(self.processes.read_waited(self.children[number]))
        pid = self.children.pop(number)
        if what == b"k":
            try:
                peak, cpu = self.processes.read_usage(pid)
            except (OSError, ValueError, IndexError):
                pass  # it ended meanwhile
            else:
                os.kill(pid, signal.SIGKILL)  # not yet reaped, so the number cannot have been given to anybody else
                self.dying.append(pid)
                return USED.pack(signal.SIGKILL, peak, cpu)
        os.kill(pid, signal.SIGKILL)
        _, status, used = os.wait4(pid, 0)
        return USED.pack(status, used.ru_maxrss, used.ru_utime + used.ru_stime)

    def bury(self) -> None:
        """Reap who was killed; wait only where more than two are still dying, so that their memory does not add up."""
        while self.dying and os.waitpid(self.dying[0], os.WNOHANG if len(self.dying) < 3 else 0)[0]:
            del self.dying[0]


def main(control: socket.socket, options: dict[str, Any]) -> None:
    """Enter a namespace in which candidates may be made, and serve until the tester goes away."""
    kernel.make(kernel.die_with_parent())
    if control.fileno() != STREAM:
        os.dup2(control.fileno(), STREAM)  # keeps the place of the candidate's own
    uid, gid = os.getuid(), os.getgid()
    setting = make_setting(options)
    if setting.isolated:
        flags = kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC
        kernel.make(kernel.unshare(flags))
        kernel.map_own_user(uid, gid)
        first = os.fork()
        if first:
            os.waitpid(first, 0)
            return
        kernel.make(kernel.die_with_parent(), kernel.mount("none", "/", "none", kernel.MS_REC | kernel.MS_PRIVATE))
    kernel.make(*kernel.limit_useless())
    if setting.confined:
        kernel.make(kernel.forbid_new_privileges())
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    rehearsal.rehearse()
    spawner = Spawner(control, setting, candidate.prepare(STREAM))
    if setting.isolated:  # for good, and for all candidates; the spawner itself has it open
        kernel.make(kernel.mount("none", "/proc", "tmpfs", QUIET | kernel.MS_RDONLY, "size=4k"))
        # Programs share these: who may touch the times of a device, or the mode of the folder, which an ordinary user
        # owns, leaves word there.
        devices = ["/dev", *(f"/dev/{name}" for name in os.listdir("/dev"))]
        kernel.make(*map(kernel.make_read_only, filter(os.path.ismount, devices)))
        if not setting.landlock:
            kernel.make(kernel.mount("none", "/dev/shm", "tmpfs", QUIET | kernel.MS_RDONLY, "size=4k"))
    gc.collect()
    gc.freeze()  # a collection in the child must not touch, and so copy, the parent's pages
    spawner.serve()
