#!/usr/bin/env python3
"""llamacpp.py: hearth and llama.cpp in turns on the same file, with the same number of threads.

    bench/peers/llamacpp.py [--build build] [--runs 5] [--isa ISA] [--only TEXT] [--csv FILE | --no-csv] MODEL.gguf...

  prefill 512, 8192   a prompt of that length, in tokens a second
  decode 0, 8192      64 tokens one by one, after nothing or after 8192
  batch 8             8 sequences, 64 tokens each, in tokens a second of all together

The peer is PyPI llama-cpp-python, compiled here for this machine at the first call, into a virtual environment of its
own in BUILD/bench/peers (minutes); it is driven through its low-level batch interface, so Python is not in the way:
llama_decode() computes nearly all of the time. It is not charged for choosing tokens; hearth is. A prompt goes to it
in batches of 2048, which it computes in its own default pieces. With --isa avx2, avxvnni or avx512vnni both are
held to that instruction set; the last is also for machines that announce AMX and do not let programs use it, where
what is compiled for the machine itself ends with an illegal instruction.

hearth's figures are those of `hearth bench`, one run a turn, with the roof beside it. The peer holds its model all the
time; who goes first changes with every round. Rows are appended to
bench/results/MACHINE.csv: medians of both, and the ratio of the medians, hearth over peer.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import engine  # noqa: E402
import measure  # noqa: E402

PEER, TOKENS = "llama-cpp-python==0.3.36", 64
SHORT_PROMPT, CHUNK = 16, 2048
# What is measured in one turn of each: the long prompt is computed once for both of its figures.
TURNS = ((("prefill", 512),), (("decode", 0),), (("batch", 8),), (("prefill", 8192), ("decode", 8192)))
GGML_OFF = "-DGGML_NATIVE=OFF -DGGML_AVX512=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON"
GGML_512 = (" -DGGML_AVX512=ON -DGGML_AVX512_VBMI=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON -DGGML_AVX_VNNI=ON"
            " -DGGML_BMI2=ON")
ISAS = {"": "-DGGML_NATIVE=ON", "avx2": GGML_OFF, "avxvnni": GGML_OFF + " -DGGML_AVX_VNNI=ON",
        "avx512vnni": GGML_OFF.replace(" -DGGML_AVX512=OFF", "") + GGML_512}


# --- the peer: this same file, run by the peer's own python ---

class Peer:
    """Answers lines of "prefill N", "decode CTX" and "batch N" with tokens a second."""

    def __init__(self, path, n_threads):
        import llama_cpp  # of the virtual environment
        self.lib, self.n_threads = llama_cpp, n_threads
        self.quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.quiet, None)
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            sys.exit(f"llama.cpp cannot load {path}")
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.random = random.Random(1)
        self.context, self.shape, self.n_past = None, None, 0
        self.batch = llama_cpp.llama_batch_init(CHUNK, 0, 1)

    def open(self, n_ctx, n_seqs):
        """A fresh context, or the one at hand with nothing in it."""
        lib = self.lib
        if self.shape != (n_ctx, n_seqs):
            if self.context:
                lib.llama_free(self.context)
            p = lib.llama_context_default_params()
            p.n_ctx, p.n_seq_max, p.n_batch = n_ctx, n_seqs, CHUNK
            p.n_threads = p.n_threads_batch = self.n_threads
            self.context, self.shape = lib.llama_init_from_model(self.model, p), (n_ctx, n_seqs)
            if not self.context:
                sys.exit(f"llama.cpp has no memory for a context of {n_ctx}")
        lib.llama_memory_clear(lib.llama_get_memory(self.context), True)
        self.n_past = 0

    def decode(self, places):
        """One llama_decode() of (position, sequence, wants logits) with tokens at random."""
        b = self.batch
        b.n_tokens = len(places)
        for i, (position, sequence, logits) in enumerate(places):
            b.token[i] = self.random.randrange(self.n_vocab)
            b.pos[i] = position
            b.n_seq_id[i] = 1
            b.seq_id[i][0] = sequence
            b.logits[i] = logits
        if self.lib.llama_decode(self.context, b) != 0:
            sys.exit("llama_decode failed")

    def prompt(self, n):
        for first in range(0, n, CHUNK):
            self.decode([(i, 0, i == n - 1) for i in range(first, min(n, first + CHUNK))])
        self.lib.llama_get_logits(self.context)  # waits for it
        self.n_past = n

    def steps(self, n_seqs, position, n):
        start = time.monotonic()
        for i in range(n):
            self.decode([(position + i, s, True) for s in range(n_seqs)])
            self.lib.llama_get_logits(self.context)
        return n_seqs * n / (time.monotonic() - start)

    def run(self, what, n):
        n_ctx = (max(n, 1024) + TOKENS + 511) // 256 * 256
        if what == "prefill":
            self.open(n_ctx, 1)
            start = time.monotonic()
            self.prompt(n)
            return n / (time.monotonic() - start)
        if what == "decode":
            if self.n_past != max(n, 1) or self.shape != (n_ctx, 1):
                self.open(n_ctx, 1)
                self.prompt(max(n, 1))
            rate = self.steps(1, self.n_past, TOKENS)
            self.n_past = -1
            return rate
        self.open(256 * n, n)
        for s in range(n):
            self.decode([(i, s, i == SHORT_PROMPT - 1) for i in range(SHORT_PROMPT)])
        self.steps(n, SHORT_PROMPT, 2)
        return self.steps(n, SHORT_PROMPT + 2, TOKENS)


def serve(path, n_threads):
    peer = Peer(path, n_threads)
    print(peer.lib.llama_print_system_info().decode(), flush=True)
    peer.run("prefill", 16)  # every page of the weights is mapped
    for line in sys.stdin:
        what, n = line.split()
        print(peer.run(what, int(n)), flush=True)


# --- in turns ---

def install(folder, isa):
    """The python of a virtual environment that has the peer; it is made once."""
    home = os.path.join(folder, "llama_cpp" + ("-" + isa if isa else ""))
    python = os.path.join(home, "bin", "python")
    if subprocess.run([python, "-c", "import llama_cpp"], capture_output=True, check=False).returncode \
            if os.path.exists(python) else True:
        print(f"compiling {PEER} into {home}; this takes minutes", flush=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run(["nice", python, "-m", "pip", "install", "--quiet", PEER], check=True,
                       env={**os.environ, "CMAKE_ARGS": ISAS[isa]})
    return python


def processor_seconds(pid):
    """Of a child that still runs."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Turns:
    def __init__(self, hearth, python, path, n_threads, isa):
        self.path, self.n_threads, self.hearth = path, n_threads, hearth
        self.env = {**os.environ, "HEARTH_ISA": isa} if isa else None
        self.peer = subprocess.Popen([python, os.path.abspath(__file__), "--serve", str(n_threads), path],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self.peer.stdout.readline().strip()
        self.figures = {}

    def close(self):
        self.peer.stdin.close()
        self.peer.wait()

    def add(self, who, what, n, value, roof, others):
        self.figures.setdefault((what, n, who), measure.Figure(f"{what} {n}", "tok/s")).add(value, roof, others)

    def turn_of_hearth(self, turn):
        argv = [self.hearth, "bench", self.path, "--json", "--runs", "1", "--tokens", str(TOKENS), "--threads",
                str(self.n_threads)]
        for kind in "prefill", "decode", "batch":
            argv += ["--" + kind, ",".join(str(n) for what, n in turn if what == kind) or "none"]
        done = subprocess.run(argv, capture_output=True, text=True, env=self.env, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr[-400:]}")
        found = json.loads(done.stdout)
        for kind, key in ("prefill", "n"), ("decode", "ctx"), ("batch", "n"):
            for row in found[kind]:
                share = row.get("roof_share")
                bound = row["tok_s"] / share if share else 0
                self.add("hearth", kind, row[key], row["tok_s"], bound, found["others_percent"])

    def turn_of_peer(self, turn):
        others, before = measure.Others(), processor_seconds(self.peer.pid)
        for what, n in turn:
            self.peer.stdin.write(f"{what} {n}\n")
            self.peer.stdin.flush()
            answer = self.peer.stdout.readline()
            if not answer:
                sys.exit(f"llama.cpp ended in {what} {n}")
            self.add("llama.cpp", what, n, float(answer), 0, 0)
        used = max(0.0, others.percent() - 100 * (processor_seconds(self.peer.pid) - before) / others.wall())
        for what, n in turn:
            figure = self.figures[what, n, "llama.cpp"]
            figure.all[-1] = (figure.all[-1][0], 0, used)

    def run(self, turns, n_runs):
        for i in range(n_runs):
            for turn in turns:
                both = [self.turn_of_hearth, self.turn_of_peer]
                for one in both if i % 2 == 0 else reversed(both):
                    one(turn)
            print(f"round {i + 1} of {n_runs}", file=sys.stderr, flush=True)

    def rows(self, label):
        found = []
        for what, n in dict.fromkeys((what, n) for what, n, _ in self.figures):
            ours, theirs = (self.figures[what, n, who] for who in ("hearth", "llama.cpp"))
            for who, f in (("hearth", ours), ("llama.cpp", theirs)):
                found.append((f"peer {what} {n} {label} {who}", f.value(), "tok/s", *f.spread(), len(f.all), f.roof(),
                              f.others()))
            ratio = ours.value() / theirs.value()
            found.append((f"peer {what} {n} {label} ratio", ratio, "x", ratio, ratio, len(ours.all), 0,
                          max(ours.others(), theirs.others())))
        return found


def main():
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[3], int(sys.argv[2]))
        return
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="+", metavar="MODEL.gguf")
    p.add_argument("--build", default="build", help="the build folder")
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--isa", choices=sorted(ISAS), default="", help="hold both to this instruction set")
    p.add_argument("--only", default="", help="only turns that have this in their name: prefill 512, batch")
    p.add_argument("--csv", help="append here instead of bench/results/MACHINE.csv")
    p.add_argument("--no-csv", action="store_true", help="append nowhere")
    options = p.parse_args()
    turns = [t for t in TURNS if any(options.only in f"{what} {n}" for what, n in t)]
    measured = engine.commit()
    python = install(os.path.abspath(os.path.join(options.build, "bench", "peers")), options.isa)
    rows = []
    for path in options.models:
        pair = Turns(os.path.join(options.build, "hearth"), python, path, options.threads, options.isa)
        print(f"{PEER}: {pair.about}")
        pair.run(turns, options.runs)
        pair.close()
        label = os.path.basename(path).removesuffix(".gguf") + (f" {options.isa}" if options.isa else "")
        rows += pair.rows(label)
    engine.show(rows)
    if not options.no_csv:
        path = options.csv or os.path.join(engine.HERE, "results", f"{measure.machine_name()}.csv")
        engine.append(path, measured, rows)
        print(f"appended to {os.path.relpath(path)}")


if __name__ == "__main__":
    main()
