#!/usr/bin/env python3
"""test_program.py: the whole program while one call to the system fails.

    tests/fail/test_program.py build/hearth build/tests/fail/libfail.so [--all] [NAME...]

Each scenario is run once to count its calls after the start of main(), then again and again with call k failing
(fail.c). Every such run must end with an exit status of the manual, never by a signal; when it fails it says so in
a sentence on standard error; when it succeeds its answer is that of the run without failures; and a file it writes
is there whole, or as it was before, with nothing left beside it. A scenario that writes a file also runs with a disk
that is full from call k on, and with files held to k bytes (RLIMIT_FSIZE); some run with k pieces of address space
(RLIMIT_AS), where memory fails for libraries and system alike.

Without --all only MOST values of k are tried, spread evenly over the run, other ones in each scenario. With --all it
is every call, and every multiple of the size that gives ALL_SIZES limits. With names: only those scenarios. Speaks
TAP.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GGUF = os.path.join(ROOT, "tests", "golden", "gguf")
MODEL = os.path.join(GGUF, "model_ok_llama.gguf")
SPLIT = os.path.join(GGUF, "ok_set3-00001-of-00003.gguf")
PATIENCE_S = 10
MOST = 24                      # runs of a scenario in the everyday suite
ALL_SIZES = 200
SPACES = 500                   # pieces of 4 KB: more than the topology takes
EXITS = (0, 1, 2, 3, 4)        # docs/cli.md
ENV = {**{k: v for k, v in os.environ.items() if not k.startswith(("HEARTH_", "LD_PRELOAD", "FAIL_", "XDG_"))},
       "HEARTH_CONFIG": "none"}

TALK = b"""{"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"},
 {"role": "assistant", "content": "yes?", "reasoning_content": "hm", "tool_calls": [{"id": "c1", "type": "function",
  "function": {"name": "f", "arguments": {"a": [1, 2.5, null]}}}]},
 {"role": "tool", "tool_call_id": "c1", "content": "42"}, {"role": "user", "content": "and?"}],
 "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}"""
PLAIN = b'[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]'
TEMPLATE = """{%- macro call(c) -%}
<call>{{ c.function.name }}({{ c.function.arguments | tojson }})</call>{% endmacro -%}
{%- if tools %}tools: {{ tools | tojson }} {% endif -%}
{%- for m in messages %}<s>{{ m.role }}: {% if m.reasoning_content -%}
<think>{{ m.reasoning_content }}</think>{% endif -%}
{{ m.content | trim }}{% for c in m.tool_calls or [] %}{{ call(c) }}{% endfor %}</s>{% endfor -%}
{%- if add_generation_prompt %}<s>assistant: {% if enable_thinking is false %}<think></think>{% endif %}{% endif -%}
{{ strftime_now('%Y') }}"""
RENDERED = "{% for m in messages %}{{ m.role ~ ': ' ~ m.content }}\n{% endfor %}{{ 'assistant: ' }}"
WORDS = b"hello world, ab abc hello world and hello again"
WINDOWS = ["--window", "8", "--limit", "2", "--threads", "2"]


with open(MODEL, "rb") as model:
    CONTENT = model.read()


SETTINGS = b"""ctx = 64
[run]
seed = 1
max-tokens = 4
[serve]
alias = ["a", "b"]
[model.model_ok_llama]
temperature = 0.5
samplers = "top_k;temperature"
dry-sequence-breaker = ["\\n"]
"""


class Scenario:
    """writes: a file in the run's folder, whole or untouched; existed: it was there before; code: the exit status
    without failures; made: files that are made before the first run, by the program with these words; tells: is on
    standard error when all is well; keeps: a folder that may be there after it, with whole files only; again: it has
    run before, and finds that folder."""

    def __init__(self, name, args, stdin=b"", files=(), writes=None, existed=False, code=0, made=(), tells="",
                 keeps=None, again=False):
        self.name, self.args, self.stdin, self.files = name, args, stdin, dict(files)
        self.writes, self.existed, self.code, self.made = writes, existed, code, dict(made)
        self.tells, self.keeps, self.again = tells, keeps, again


TYPED = "hello\n/undo\nagain\n/retry\n/save talk.json\n/clear\n/load talk.json\n/system be brief\n/params\n/prompt\n"
CACHED = ["run", MODEL, "ab" * 700, "-n", "4", "--seed", "1", "--ctx", "1024", "--raw", "--cache-dir", "kv"]
SCENARIOS = [
    Scenario("inspect", ["inspect", MODEL]),
    Scenario("inspect a split set", ["inspect", SPLIT]),
    Scenario("inspect --template", ["inspect", "--template", "--chat-template", "t.jinja", MODEL],
             files={"t.jinja": TEMPLATE.encode()}),
    Scenario("tokenize", ["tokenize", MODEL], b"hello world, this is a longer text"),
    Scenario("tokenize bpe", ["tokenize", os.path.join(GGUF, "ok_vocab_bpe_qwen2.gguf")], b"ab abc"),
    Scenario("apply-template", ["apply-template", "--model", MODEL, "--chat-template", "t.jinja", "--json", "--date",
                                "2026-02-07 15:04:05"], TALK, {"t.jinja": TEMPLATE.encode()}),
    # the template fills what the file's texts are kept in, so that the tokens' need memory of their own
    Scenario("apply-template --tokens", ["apply-template", "--model", MODEL, "--chat-template", "t.jinja", "--tokens"],
             PLAIN, {"t.jinja": RENDERED.encode() + b"{#" + b" " * 65536 + b"#}"}),
    Scenario("run", ["run", MODEL, "hi", "-n", "4", "--seed", "1", "--ctx", "64"]),
    Scenario("run --json", ["run", MODEL, "hi", "-n", "4", "--seed", "1", "--json"]),
    Scenario("run --receipt", ["run", MODEL, "hi", "-n", "4", "--seed", "1", "--receipt"], tells="  memory "),
    Scenario("run --preload", ["run", MODEL, "hi", "-n", "4", "--seed", "1", "--preload"]),
    Scenario("run --cache-dir", CACHED, keeps="kv"),
    Scenario("run --cache-dir again", CACHED, keeps="kv", again=True),
    Scenario("run a chat", ["run", MODEL, "hi", "-n", "4", "--seed", "1", "--chat-template", "t.jinja"],
             files={"t.jinja": RENDERED.encode()}),
    Scenario("chat", ["chat", MODEL, "--chat-template", "t.jinja", "-n", "3", "--seed", "1"], TYPED.encode(),
             {"t.jinja": RENDERED.encode()}, writes="talk.json"),
    Scenario("chat saves over a file", ["chat", MODEL, "--chat-template", "t.jinja", "-n", "3", "--seed", "1"],
             b"/load talk.json\n/save! talk.json\n", {"t.jinja": RENDERED.encode(), "talk.json": PLAIN},
             writes="talk.json", existed=True),
    Scenario("quantize", ["quantize", MODEL, "out.gguf", "--type", "Q8_0", "--requantize", "-v", "--threads", "2"],
             writes="out.gguf"),
    Scenario("quantize by importance over a file",
             ["quantize", MODEL, "out.gguf", "--type", "Q8_0", "--requantize", "--imatrix", "im.gguf", "--force",
              "--threads", "2", "--tensor", "*attn*=q4_1,*gate*=f16"],
             files={"out.gguf": b"the old one"}, writes="out.gguf", existed=True,
             made={"im.gguf": ["imatrix", MODEL, "-", "-o", "im.gguf", *WINDOWS]}),
    Scenario("quantize a split set", ["quantize", SPLIT, "out.gguf", "--type", "Q8_0", "-v", "--threads", "1"],
             writes="out.gguf"),
    Scenario("quantize onto what is read",
             ["quantize", "in.gguf", "in.gguf", "--type", "F16", "--requantize", "--force", "--threads", "1"],
             files={"in.gguf": CONTENT}, writes="in.gguf", existed=True, code=2),
    Scenario("imatrix", ["imatrix", MODEL, "t.txt", "-o", "im.gguf", *WINDOWS], files={"t.txt": WORDS},
             writes="im.gguf"),
    Scenario("perplexity", ["perplexity", MODEL, "t.txt", *WINDOWS], files={"t.txt": WORDS}),
    Scenario("perplexity --json", ["perplexity", MODEL, "-", "--json", *WINDOWS], WORDS),
    Scenario("perplexity --kld", ["perplexity", MODEL, "t.txt", "--kld", MODEL, "--json", *WINDOWS],
             files={"t.txt": WORDS}),
    Scenario("verify", ["verify", MODEL, "--json", "--sha256"], keeps=".local"),
    Scenario("config", ["config", "--config", "s.toml"], files={"s.toml": SETTINGS}),
    Scenario("config --json", ["config", "run", "model_ok_llama", "--json", "--config", "s.toml"],
             files={"s.toml": SETTINGS}),
    Scenario("run with settings", ["run", MODEL, "hi", "--json", "--config", "s.toml"], files={"s.toml": SETTINGS}),
    Scenario("settings with a mistake", ["run", MODEL, "hi", "--config", "s.toml"],
             files={"s.toml": SETTINGS + b"tempreature = 1\n"}, code=2),
    Scenario("key list", ["key", "list", "--api-key-file", "keys"],
             files={"keys": b"alpha name=a requests=3 # x\nbeta\n"}),
    Scenario("key revoke", ["key", "revoke", "a", "--api-key-file", "keys"],
             files={"keys": b"alpha name=a requests=3 # x\nbeta\n"}, writes="keys", existed=True),
    Scenario("dev synth", ["dev", "synth", "--shape", "tiny", "out.gguf", "--threads", "2"], writes="out.gguf"),
]


def is_json(text):
    try:
        return bool(json.loads(text))
    except (TypeError, ValueError):
        return False


def plain(value):
    """A JSON value without what differs from run to run: numbers with a fraction or large (times, bytes, rates; null
    where there is none), the request's name, what its time went to, the notes on what the system did not give."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in ("request_id", "notes", "faults", "seconds", "at",
                                                          "verdict")}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return "a number" if value is None or isinstance(value, (int, float)) else value


def steady(out):
    """What must be the same in each run that succeeds."""
    if out.startswith(b"{") and is_json(out):
        return json.dumps(plain(json.loads(out))).encode()
    return re.sub(rb"(?m)^(memory +)[\d.]+ \w+ of [\d.]+ \w+:", rb"\1this of what is free:", out)


def difference(want, got):
    at = len(os.path.commonprefix([want, got]))
    return f"{got[at:at + 60]!r} after {at} bytes, where {want[at:at + 60]!r} was"


class Job:
    """One scenario, one kind of failure."""

    def __init__(self, program, shim, scenario, kind, how, on):
        self.program, self.shim, self.s, self.kind, self.how, self.on = program, shim, scenario, kind, how, on
        what = f"{kind} {how}".strip()
        self.name = f"{scenario.name}: {what}" + (" from there on" if on else "")

    def run(self, k):
        """(status, standard output, standard error, the written file or None, what else is there, calls)"""
        folder = tempfile.mkdtemp(prefix="hearth-fail-")
        try:
            for name, content in self.s.files.items():
                with open(os.path.join(folder, name), "wb") as f:
                    f.write(content)
            if self.s.again:
                subprocess.run([self.program, *self.s.args], capture_output=True, cwd=folder, env=ENV, check=True,
                               timeout=PATIENCE_S)
            count = folder + ".count"
            env = {**ENV, "HOME": folder, "FAIL_KIND": self.kind, "FAIL_AT": str(k), "FAIL_HOW": self.how,
                   "FAIL_ON": "1" if self.on else "0", "FAIL_COUNT": count, "LD_PRELOAD": self.shim}
            done = subprocess.run([self.program, *self.s.args], input=self.s.stdin, capture_output=True, cwd=folder,
                                  env=env, check=False, timeout=PATIENCE_S)
            written = None
            if self.s.writes and os.path.exists(os.path.join(folder, self.s.writes)):
                with open(os.path.join(folder, self.s.writes), "rb") as f:
                    written = f.read()
            others = set(os.listdir(folder)) - set(self.s.files) - {self.s.writes, self.s.keeps}
            if self.s.keeps and os.path.exists(os.path.join(folder, self.s.keeps)):
                others |= {name for name in os.listdir(os.path.join(folder, self.s.keeps)) if name.endswith(".part")}
            calls = 0
            if os.path.exists(count):
                with open(count, encoding="ascii") as f:
                    calls = int(f.read())
                os.unlink(count)
            err = done.stderr.decode("utf-8", "replace")
            return done.returncode, steady(done.stdout), err, written, others, calls
        finally:
            shutil.rmtree(folder)

    def problem(self, k, want):
        """What is wrong with the run whose call k fails; "" when nothing is."""
        try:
            code, out, err, written, others, _ = self.run(k)
        except subprocess.TimeoutExpired:
            return f"call {k}: does not end"
        last = (err.strip() or out.decode("utf-8", "replace").strip()).split("\n")[-1]
        said = "out of memory" in err or b"out of memory" in out
        if code not in EXITS:
            return f"call {k}: exit status {code}, {last!r}"
        if code != want[0] and not said and not re.search(r"^hearth: .{10}", err, re.MULTILINE):
            return f"call {k}: exit status {code} without a sentence: {err!r}"
        if code == want[0] and out != want[1] and not said:
            return f"call {k}: says that all is well, but another answer: {difference(want[1], out)}, {last[:200]!r}"
        if code == 0 and self.s.tells not in err and not said:
            return f"call {k}: says that all is well, but not {self.s.tells!r}: {err!r}"
        before = self.s.files.get(self.s.writes) if self.s.existed else None
        if written not in (want[3], before) and (code == 0 or not is_json(written)): # of another conversation, then
            return f"call {k}: exit status {code}, and a file of another kind: {len(written or b'')} bytes, {last!r}"
        if code == 0 and written != want[3]:
            return f"call {k}: says that all is well, and wrote nothing"
        return f"call {k}: leaves {sorted(others)} behind" if others else ""

    def check(self, pool, everything, turn):
        for name, args in self.s.made.items():
            if name not in self.s.files:
                self.s.files[name] = made_by(self.program, args, name)
        want = self.run(0)
        if want[0] not in (self.s.code, 1) or want[4]:
            return 0, 0, [f"fails by itself: exit status {want[0]}, {want[2]!r}, {want[4]}"]
        n = len(want[3]) - 1 if self.kind == "size" else SPACES if self.kind == "space" else want[5]
        if n == 0:
            return 0, 0, ["no call was counted"]
        most = (ALL_SIZES if self.kind == "size" else n) if everything else MOST
        step = max(1, n / most)
        ks = sorted({min(n, int(1 + i * step + turn * 7 % max(1, int(step)))) for i in range(int(n / step))})
        return n, len(ks), [p for p in pool.map(lambda k: self.problem(k, want), ks) if p]


def made_by(program, args, name):
    with tempfile.TemporaryDirectory(prefix="hearth-fail-") as folder:
        subprocess.run([program, *args], input=WORDS, capture_output=True, cwd=folder, env=ENV, check=True,
                       timeout=PATIENCE_S)
        with open(os.path.join(folder, name), "rb") as f:
            return f.read()


def jobs(program, shim):
    for s in SCENARIOS:
        yield Job(program, shim, s, "memory", "", False)
        if s.name in ("quantize", "run --json"):
            yield Job(program, shim, s, "space", "", False)
        yield Job(program, shim, s, "file", "EIO", False)
        yield Job(program, shim, s, "file", "EINTR", False)
        yield Job(program, shim, s, "file", "short", False)
        if s.writes or s.keeps:
            yield Job(program, shim, s, "file", "ENOSPC", True)
            if s.writes and not s.code:
                yield Job(program, shim, s, "size", "", False)


def main():
    words = [w for w in sys.argv[1:] if w != "--all"]
    if len(words) < 2:
        sys.exit(__doc__)
    everything = len(words) + 1 < len(sys.argv)
    wanted = [j for j in jobs(os.path.abspath(words[0]), os.path.abspath(words[1]))
              if not words[2:] or j.s.name in words[2:]]
    print(f"1..{len(wanted)}", flush=True)
    bad = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for i, job in enumerate(wanted, 1):
            n, tried, wrong = job.check(pool, everything, i)
            for what in wrong[:20]:
                print(f"# {what}")
            if len(wrong) > 20:
                print(f"# and {len(wrong) - 20} more")
            bad += bool(wrong)
            print(f"{'not ok' if wrong else 'ok'} {i} - {job.name}, {tried} of {n} calls", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
