"""memory_group.py: a memory control group of a test's own, below that of the test: version 1 or 2.

Whoever may not make one, or has none, does without: MemoryGroup.make() gives None, and why_not says why. Bounds puts a
server into one that has room for what it planned and 5 %, where run.py was told so (--memory-cgroup).
"""

import os
import re
import time

ROOT = "/sys/fs/cgroup"


def own_group():
    """(folder, version): where the memory of this process is counted."""
    with open("/proc/self/cgroup", encoding="ascii") as f:
        lines = [line.strip().split(":", 2) for line in f]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return f"{ROOT}/memory{path.rstrip('/')}", 1
    for _, controllers, path in lines:
        if not controllers:
            return f"{ROOT}{path.rstrip('/')}", 2
    return None, 0


class MemoryGroup:
    why_not = ""
    n_made = 0

    def __init__(self, folder, version):
        self.folder, self.version = folder, version

    @classmethod
    def make(cls):
        try:
            parent, version = own_group()
            if not parent:
                raise OSError("there are no control groups here")
            cls.n_made += 1
            folder = f"{parent}/hearth-test-{os.getpid()}-{cls.n_made}"
            os.mkdir(folder)
            group = cls(folder, version)
            if not os.path.exists(group.path("limit")):
                os.rmdir(folder)
                raise OSError("the controller for memory is not passed on to groups below this one")
            return group
        except OSError as e:
            cls.why_not = f"no memory control group can be made: {e}"
            return None

    def path(self, what):
        names = {"limit": ("memory.limit_in_bytes", "memory.max"), "most": ("memory.max_usage_in_bytes", "memory.peak"),
                 "usage": ("memory.usage_in_bytes", "memory.current"), "procs": ("cgroup.procs", "cgroup.procs"),
                 "kills": ("memory.oom_control", "memory.events"), "hits": ("memory.failcnt", "memory.events")}
        return os.path.join(self.folder, names[what][self.version - 1])

    def read(self, what):
        try:
            with open(self.path(what), encoding="ascii") as f:
                return f.read()
        except OSError:
            return ""

    def enter(self):
        """The process that calls this; before it has memory of its own (preexec_fn)."""
        with open(self.path("procs"), "w", encoding="ascii") as f:
            f.write(str(os.getpid()))

    def limit(self, n_bytes):
        with open(self.path("limit"), "w", encoding="ascii") as f:
            f.write(str(n_bytes))

    def n_killed(self):
        return int((re.search(r"oom_kill (\d+)", self.read("kills")) or [0, 0])[1])

    def figures(self):
        hits = self.read("hits") if self.version == 1 else (re.search(r"max (\d+)", self.read("hits")) or ["", ""])[1]
        mib = [int(self.read(what) or 0) >> 20 for what in ("limit", "usage", "most")]
        return (f"limit {mib[0]} MiB, used {mib[1]}, at most {mib[2]}; at its limit {hits.strip()} times, "
                f"{self.n_killed()} killed")

    def close(self):
        for _ in range(100):  # who has ended leaves it a moment later
            try:
                os.rmdir(self.folder)
                return
            except OSError:
                time.sleep(0.05)


class Bounds:
    """For one server; without a group, where none is wanted, it does nothing."""

    report = os.environ.get("HEARTH_TEST_MEMORY_GROUP")
    more = 0.05

    def __init__(self):
        self.group = MemoryGroup.make() if self.report else None
        assert self.group or not self.report, MemoryGroup.why_not
        self.enter = self.group.enter if self.group else None

    def hold(self, screen):
        """When it has said what it planned."""
        if not self.group:
            return
        planned = re.search(r"together +(\d+) MiB of", screen) or re.search(r" = (\d+) MiB, of ", screen)
        self.group.limit(int(int(planned[1]) * (1 + self.more) * (1 << 20)))

    def end(self):
        """When it has ended: nobody killed it."""
        if not self.group:
            return
        figures, n_killed = self.group.figures(), self.group.n_killed()
        self.group.close()
        with open(self.report, "a", encoding="ascii") as f:
            f.write(figures + "\n")
        assert n_killed == 0, figures
