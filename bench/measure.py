"""measure.py: what bench/engine.py measures with: processes, the page cache, the disk, the roofs, and who else
uses the machine. Linux, Python's standard library only."""
import ctypes
import json
import mmap
import os
import re
import resource
import statistics
import subprocess
import threading
import time

PIECE_BYTES = 4 << 20
LIBC = ctypes.CDLL(None, use_errno=True)


# --- the machine ---

def machine_name():
    """cpu-family-and-cores, as amd-epyc-zen5-2c; never a host name."""
    info = {}
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        for line in f:
            key, _, value = line.partition(":")
            info.setdefault(key.strip(), value.strip())
    words = re.sub(r"\(.*?\)|@.*|\b(CPU|Processor|\d+-Core)\b", " ", info.get("model name", os.uname().machine))
    if info.get("vendor_id") == "AuthenticAMD":
        family, model = int(info["cpu family"]), int(info["model"])
        zen4 = family == 25 and (0x10 <= model <= 0x1f or 0x60 <= model <= 0x7f or model >= 0xa0)
        zen = {23: " zen2" if model >= 0x30 else " zen", 25: " zen4" if zen4 else " zen3", 26: " zen5"}
        words += zen.get(family, "")
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    return f"{slug}-{len(os.sched_getaffinity(0))}c"


class Others:
    """Share of the processors that others used (and the host took), since the object was made, in percent."""

    def __init__(self):
        self.start, self.busy, self.own = time.monotonic(), self._busy(), self._own()

    @staticmethod
    def _busy():
        with open("/proc/stat", encoding="ascii") as f:
            v = [int(x) for x in f.readline().split()[1:9]]
        return (sum(v) - v[3] - v[4]) / os.sysconf("SC_CLK_TCK")  # all but idle and waiting for the disk

    @staticmethod
    def _own():
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in both)

    def wall(self):
        """Seconds of all processors since then."""
        return (time.monotonic() - self.start) * os.cpu_count()

    def percent(self):
        return max(0.0, 100 * (self._busy() - self.busy - self._own() + self.own) / self.wall())


# --- the page cache and the disk ---

LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
LIBC.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def resident_share(path):
    """How much of the file is in the page cache, 0 to 1 (mincore)."""
    fd = os.open(path, os.O_RDONLY)
    n = os.fstat(fd).st_size
    at = LIBC.mmap(None, n, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    os.close(fd)
    pages = (n + mmap.PAGESIZE - 1) // mmap.PAGESIZE
    seen = (ctypes.c_ubyte * pages)()
    if at == ctypes.c_void_p(-1).value or LIBC.mincore(at, n, seen) != 0:
        raise OSError(ctypes.get_errno(), f"mincore of {path}")
    LIBC.munmap(at, n)
    return bytes(b & 1 for b in seen).count(1) / pages


def evict(path):
    """Out of the page cache, verified."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    left = resident_share(path)
    if left > 0.01:
        raise RuntimeError(f"{100 * left:.0f} % of {path} stays in the page cache; does another process map it?")


def read_seconds(path, n_readers):
    """Reading an evicted file whole, in order, in 4 MB pieces."""
    evict(path)
    fd = os.open(path, os.O_RDONLY)
    offsets = iter(range(0, os.fstat(fd).st_size, PIECE_BYTES))
    lock = threading.Lock()

    def reader():
        piece = bytearray(PIECE_BYTES)
        while True:
            with lock:
                offset = next(offsets, None)
            if offset is None:
                return
            os.preadv(fd, [piece], offset)

    threads = [threading.Thread(target=reader) for _ in range(n_readers)]
    start = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    seconds = time.monotonic() - start
    os.close(fd)
    return seconds


def disk_seconds(path):
    """The bound of a cold start: the fastest of 1, 2 and 4 readers."""
    return min(read_seconds(path, n) for n in (1, 2, 4))


# --- processes ---

def first_byte(argv):
    """Seconds from fork to the first byte on standard output (a pipe), and peak resident bytes."""
    read_end, write_end = os.pipe()
    start = time.monotonic()
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=write_end, stderr=subprocess.DEVNULL)
    os.close(write_end)
    got = os.read(read_end, 1)
    seconds = time.monotonic() - start
    while os.read(read_end, 65536):
        pass
    os.close(read_end)
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode != 0 or not got:
        raise RuntimeError(f"{' '.join(argv)[:200]} ended with {p.returncode}")
    return seconds, usage.ru_maxrss * 1024


def output_of(argv, text=None):
    p = subprocess.run(argv, input=text if text is not None else "", capture_output=True, text=True, check=False)
    if p.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)[:200]} ended with {p.returncode}: {p.stderr[-400:]}")
    return p.stdout


def receipt(argv):
    return json.loads(output_of(argv + ["--json"]))["hearth"]


def roofs(bench_kernel):
    """{("read", threads): GB/s, ("int8", threads): GMAC/s}; int8 is 0 where it cannot be measured."""
    found = {}
    for line in output_of([bench_kernel, "--roofs", "--windows", "3", "--mib", "256"]).splitlines():
        m = re.match(r"(read|int8) roof (\d+) threads +([\d.]+)", line)
        if m:
            found[m[1], int(m[2])] = float(m[3])
    return found


# --- figures ---

class Figure:
    """Repeated measurements of one thing, each with the bound beside it (0: none) and what others used."""

    def __init__(self, name, unit):
        self.name, self.unit, self.all = name, unit, []

    def add(self, value, roof, others):
        self.all.append((value, roof, others))

    def n_quiet(self, limit_percent):
        return sum(others <= limit_percent for _, _, others in self.all)

    def quietest(self, n):
        """The figure reduced to the n runs that others disturbed least."""
        kept = Figure(self.name, self.unit)
        kept.all = sorted(self.all, key=lambda run: run[2])[:n]
        return kept

    def value(self):
        return statistics.median(v for v, _, _ in self.all)

    def spread(self):
        v = sorted(v for v, _, _ in self.all)
        return v[len(v) // 4], v[3 * len(v) // 4]

    def roof(self):
        return statistics.median(r for _, r, _ in self.all)

    def others(self):
        return statistics.median(o for _, _, o in self.all)

    def share(self):
        """Of the bound beside it, run by run; 0 without one."""
        shares = [v / r for v, r, _ in self.all if r > 0]
        return statistics.median(shares) if shares else 0.0
