#!/usr/bin/env python3
"""test_pull.py: `hearth pull` against a hub that misbehaves: the final name is absent or right, always.

    tests/store/test_pull.py build/hearth [--all] [NAME...]

--all kills it 200 times, where without it is done a few times. Speaks TAP.
"""

import contextlib
import glob
import hashlib
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

for folder in ("life", "cli"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", folder))
from gguf_writer import split  # noqa: E402
from hub_server import Hub  # noqa: E402
from place import NAME, PATIENCE_S, Place, bytes_of  # noqa: E402
from tap import Skip, main, test  # noqa: E402

KILLS, ALL_KILLS = 8, 200
TLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http", "tls")


def big(n, seed=1):
    """Random bytes that begin as a GGUF file does: whether they are a model is not pull's business."""
    return b"GGUF" + random.Random(seed).randbytes(n - 4)


def kinds(done):
    return [e["event"] for e in done.events if e["event"] not in ("sandbox", "progress", "hashing")]


@test
def a_model_is_pulled_listed_used_and_removed(program, model, everything):
    data = bytes_of(model)
    with Hub({"tiny-Q4_K_M.gguf": data, "tiny-Q8_0.gguf": data + b"x"}) as hub, Place(program) as p:
        missing = p.run("inspect", "hf:tolstoy/tiny-gguf")
        assert missing.returncode == 2 and "hearth pull hf:tolstoy/tiny-gguf" in missing.stderr, missing.stderr
        plan = p.pull(hub, "--plan")
        assert plan.returncode == 0 and plan.events[-1]["memory_fits"] and not p.is_right(data), plan.stderr
        assert plan.events[-1]["tok_s"] > 0 and plan.events[-1]["first_token_ms"] > 0, plan.stdout
        done = p.pull(hub)
        assert done.returncode == 0 and kinds(done) == ["begin", "done"] and p.is_right(data), done.stderr
        assert done.events[-1]["sha256"] == hashlib.sha256(data).hexdigest() and done.events[-1]["published"]
        shown = json.loads(p.run("inspect", NAME, "--template", "--json").stdout)
        assert done.model["runs"] and done.model["template_sha256"] == shown["sha256"] != "", (done.model, shown)
        assert kinds(p.pull(hub)) == ["present"]
        listed = json.loads(p.run("list", "--json").stdout)
        assert [(m["name"], m["verified"]) for m in listed] == [(NAME, "yes")], listed
        for name in ("hf:tolstoy/tiny-gguf", "hf:tolstoy/tiny-gguf:Q4_K_M", NAME, "tiny-Q4_K_M"):
            assert p.run("inspect", name).returncode == 0, name
        checked = json.loads(p.run("verify", "tiny-Q4_K_M", "--no-keep", "--json").stdout)
        assert checked["sha256"] == [hashlib.sha256(data).hexdigest()]
        assert "sha256-differs" not in [f["code"] for f in checked["findings"]]
        with open(p.path(), "r+b") as f:
            f.seek(-3, os.SEEK_END)
            f.write(bytes([data[-3] ^ 1]))
        checked = json.loads(p.run("verify", "tiny-Q4_K_M", "--no-keep", "--json").stdout)
        assert "sha256-differs" in [f["code"] for f in checked["findings"]], checked["findings"]
        assert json.loads(p.run("list", "--json").stdout)[0]["verified"] == "changed"
        assert p.run("rm", "hf:tolstoy/tiny-gguf").returncode == 0 and not os.path.exists(p.path())
        assert p.run("list", "--json").stdout.strip() == "[]"


@test
def ollama_and_addresses_are_pulled(program, model, everything):
    data = bytes_of(model)
    with Hub({"a.gguf": data}) as hub, Place(program) as p:
        assert p.pull(hub, what="ollama:tiny").returncode == 0
        assert p.is_right(data, "ollama/tiny/latest.gguf") and p.run("inspect", "ollama:tiny").returncode == 0
        address = hub.url + "/plain/a.gguf"
        done = p.pull(hub, what=address)
        assert done.returncode == 0 and not done.events[-1]["published"], done.stderr
        assert done.model["architecture"] == "llama" and done.model["problem"] == "", done.model
        assert p.is_right(data, f"url/127.0.0.1_{hub.port}/plain/a.gguf")
        p.run("rm", address)
        wrong = p.pull(hub, "--sha256", "0" * 64, what=address)
        assert wrong.returncode == 3 and "twice" in wrong.stderr and p.n_partial() == 0, wrong.stderr
        right = p.pull(hub, "--sha256", hashlib.sha256(data).hexdigest(), what=address)
        assert right.returncode == 0 and right.events[-1]["published"], right.stderr


@test
def all_parts_of_a_split_file_come_and_what_is_unclear_is_listed(program, model, everything):
    parts = {f"Q8_0/m-Q8_0-0000{i}-of-00003.gguf": big(5000, i) for i in (1, 2, 3)}
    with Hub({**parts, "m-Q4_K_S.gguf": big(100), "mmproj-m.gguf": big(50)}) as hub, Place(program) as p:
        unclear = p.pull(hub)
        assert unclear.returncode == 2 and "m-Q4_K_S.gguf" in unclear.stderr and "mmproj" not in unclear.stderr
        assert "00001-of-00003" in unclear.stderr and "00002-of-00003" not in unclear.stderr, unclear.stderr
        assert "Q4_K_S" in p.pull(hub, what="hf:tolstoy/tiny-gguf:Q4_K").stderr  # no word of its own
        done = p.pull(hub, what="hf:tolstoy/tiny-gguf:q8_0")
        assert done.returncode == 0 and kinds(done).count("done") == 3, done.stderr
        assert not done.model["runs"] and "m-Q8_0-00001" in done.model["problem"], done.model  # none by its bytes
        for name, data in parts.items():
            assert p.is_right(data, "hf/tolstoy/tiny-gguf/" + name)


def on_terminal(p, hub, words, answer):
    """(exit status, screen) of a command on a terminal whose only question is answered so."""
    ours, theirs = pty.openpty()
    env = {**p.env, "HEARTH_HUB": hub.url, "TERM": "dumb", **({"HEARTH_NO_SANDBOX": "1"} if p.free else {})}
    child = subprocess.Popen([p.program, *words], env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen, left = b"", [answer]
    with contextlib.suppress(OSError):  # the other end is closed
        while piece := os.read(ours, 65536):
            screen += piece
            if left and b"[y/N]" in screen:
                os.write(ours, left.pop())
    os.close(ours)
    return child.wait(PATIENCE_S), screen.decode()


@test
def what_is_not_there_is_offered_on_a_terminal(program, model, everything):
    data = bytes_of(model)
    with Hub({"tiny-Q4_K_M.gguf": data}) as hub, Place(program) as p:
        words = ["inspect", "hf:tolstoy/tiny-gguf"]
        code, screen = on_terminal(p, hub, words, b"\n")
        assert code == 2 and "fetch it now?" in screen and "it fits" in screen, screen
        assert re.search(r"speed +about [\d.e+]+ tokens a second", screen), screen
        assert "hearth pull hf:tolstoy/tiny-gguf gets it" in screen and not p.is_right(data)
        hub.requests = []
        code, screen = on_terminal(p, hub, ["run", "hf:tolstoy/tiny-gguf", "hi", "--offline"], b"y\n")
        assert code == 2 and "[y/N]" not in screen and not hub.requests, screen
        code, screen = on_terminal(p, hub, words, b"y\n")
        assert code == 0 and "llama" in screen and p.is_right(data), screen
        hub.requests = []
        code, screen = on_terminal(p, hub, words, b"y\n")
        assert code == 0 and "[y/N]" not in screen and not hub.requests, screen
        code, screen = on_terminal(p, hub, ["inspect", "hf:tolstoy/none"], b"y\n")
        assert code == 2 and "[y/N]" not in screen and "there is no such model" in screen, screen


@test
def the_plan_of_a_set_is_that_of_its_parts_together(program, model, everything):
    with Place(program) as p:
        whole = os.path.join(p.own.name, "whole.gguf")
        made = p.run("dev", "synth", "--shape", "tiny", "--type", "F16", whole)
        assert made.returncode == 0, made.stderr
        first = split(whole, os.path.join(p.own.name, "m-F16"), 3)
        parts = {os.path.basename(f): bytes_of(f) for f in glob.glob(first[:-19] + "*-of-00003.gguf")}
        with Hub({"w-F32.gguf": bytes_of(whole), **parts}) as hub:
            plans = [p.pull(hub, "--plan", what="hf:tolstoy/tiny-gguf:" + q).events[-1] for q in ("F32", "F16")]
            assert [e["files"] for e in plans] == [1, 3] and len(parts) == 3, plans
            # A set has the metadata of each part: a hundred bytes in each header, where a part has 1 MB of weights.
            assert 0 <= plans[1]["memory_bytes"] - plans[0]["memory_bytes"] < 2000, plans
            assert plans[0]["memory_bytes"] > len(bytes_of(whole)), plans
            assert plans[1]["bytes"] == sum(len(d) for d in parts.values()), plans
            assert not glob.glob(p.dir + "/partial/*") and not glob.glob(p.dir + "/hf/*")
            # A part that is none: its size is known, and what it takes is not.
            hub.files["m-F16-00002-of-00003.gguf"] = bytes(5000)
            done = p.pull(hub, "--plan", what="hf:tolstoy/tiny-gguf:F16")
            assert done.returncode == 0 and "memory_bytes" not in done.events[-1], done.events
            assert not glob.glob(p.dir + "/partial/*")


@test
def a_list_in_pages_is_read_to_its_end_and_not_beyond(program, model, everything):
    files = {f"other-{i}.gguf": big(100, i) for i in range(9)}
    parts = {f"m-Q8_0-0000{i}-of-00003.gguf": big(500, i) for i in (1, 2, 3)}
    with Hub({**files, **parts}) as hub, Place(program) as p:
        hub.page = 3
        token = os.path.join(p.own.name, "token")
        with open(token, "w", encoding="utf-8") as f:
            f.write("hf_secret")
        done = p.pull(hub, "--token-file", token, what="hf:tolstoy/tiny-gguf:Q8_0")
        assert done.returncode == 0 and kinds(done).count("done") == 3, done.stderr
        lists = [h for path, h in hub.requests if "/tree/" in path]
        assert len(lists) == 5 and all(h["authorization"] == "Bearer hf_secret" for h in lists)
        with Hub(files) as other:
            for link, code, said in ((other.url + "/x", 3, "goes on at another place"),
                                     (hub.url + "/api/models/tolstoy/tiny-gguf/tree/main?recursive=1", 3, "32 pages"),
                                     ("/relative", 2, "the next page of the hub's list"), ("a b", 3, "that is none"),
                                     (hub.url + "/" + "x" * 3000, 3, "that is none")):
                hub.link, hub.requests = link, []
                done = p.pull(hub, what="hf:tolstoy/tiny-gguf:other-1.gguf")
                assert done.returncode == code and said in done.stderr, (link, done.returncode, done.stderr)
                assert len(hub.requests) <= 32 and not other.requests, link
        # As long as all pages together may be, and longer.
        hub.link, hub.page, hub.requests = "", 1000, []
        hub.files = {f"{i:05d}-{'x' * 140}.gguf": b"GGUF1" for i in range(16000)}
        hub.listed = {n: {"sha256": "0" * 64} for n in hub.files}
        done = p.pull(hub, what="hf:tolstoy/tiny-gguf:Q8_0")
        assert done.returncode == 3 and "bytes" in done.stderr and len(hub.requests) < 16, done.stderr


@test
def what_is_here_already_gets_a_name_and_stays(program, model, everything):
    data = bytes_of(model)
    with Place(program) as p:
        mine, blob = (os.path.join(p.own.name, n) for n in ("mine.gguf", "sha256-" + hashlib.sha256(data).hexdigest()))
        for path in (mine, blob):
            with open(path, "wb") as f:
                f.write(data)
        done = p.run("import", mine, blob)
        assert done.returncode == 0 and done.stdout.splitlines()[0] == "import/mine.gguf", done.stderr
        listed = {m["name"]: m for m in json.loads(p.run("list", "--json").stdout)}
        assert listed["import/mine.gguf"]["path"] == os.path.realpath(mine) and len(listed) == 2
        assert [m["sha256"] for m in listed.values() if m["sha256"]] == [hashlib.sha256(data).hexdigest()]
        assert p.run("inspect", "mine").returncode == 0
        assert p.run("import", os.path.join(p.own.name, "none.gguf")).returncode == 3
        assert p.run("rm", "mine").returncode == 0 and bytes_of(mine) == data
        assert len(json.loads(p.run("list", "--json").stdout)) == 1


# Faults that are got over: what the hub does, what is said meanwhile, and how often the file is sent at most.
GOT_OVER = [
    (["drop:100000"], ["retry"], 1.1),
    (["drop:100000", "drop:50000", "drop:0", "drop:1"], ["retry"] * 4, 1.1),
    (["stall:100000"], ["retry"], 1.1),
    (["drop:100000", "range"], ["retry", "retry"], 2.0),
    (["drop:100000", "range", "range"], ["retry", "retry", "restart"], 3.0),
    (["drop:100000", "whole"], ["retry", "restart"], 1.4),
    (["drop:100000", "etag"], ["retry", "restart"], 1.4),
    (["drop:100000", "416"], ["retry", "restart"], 1.4),
    (["503", "503"], ["retry", "retry"], 1.1),
    (["wrong"], ["restart"], 2.1),
    (["drop:100000", "wrong"], ["retry", "restart"], 2.1),
]


@test
def faults_that_pass_are_got_over(program, model, everything):
    data = big(300000)
    for faults, said, most in GOT_OVER:
        with Hub({"tiny-Q4_K_M.gguf": data}) as hub, Place(program) as p:
            hub.faults = list(faults)
            done = p.pull(hub, "--stall", "1")
            assert done.returncode == 0 and p.is_right(data), (faults, done.stderr)
            assert kinds(done) == ["begin", *said, "done"], (faults, kinds(done))
            assert hub.n_sent <= most * len(data), (faults, hub.n_sent)
            assert not hub.faults and p.n_partial() == 0 and not glob.glob(p.dir + "/partial/*"), faults
    return f"{len(GOT_OVER)} of them"


# Faults that last: the exit code, and what must be said.
REFUSED = [
    (["wrong"] * 9, 3, "twice with another SHA-256"),
    (["short"] * 9, 3, "the server declares"),
    (["long"] * 9, 3, "the server declares"),
    (["html"] * 9, 3, "no GGUF file"),
    (["loop"] * 9, 3, "after 5 redirects"),
    (["503"] * 9, 3, "503"),
    (["away:http://example.com/x"], 3, "over http"),
    (["away:ftp://127.0.0.1/x"], 2, "a redirect of"),
    (["drop:0"] * 9, 3, "brought nothing new"),
]


@test
def faults_that_last_are_refused_and_leave_no_file(program, model, everything):
    data = big(300000)
    for faults, code, said in REFUSED:
        with Hub({"tiny-Q4_K_M.gguf": data}) as hub, Place(program) as p:
            hub.faults = list(faults)
            done = p.pull(hub)
            assert done.returncode == code and said in done.stderr, (faults, done.returncode, done.stderr)
            assert not p.is_right(data), faults
            hub.faults = []
            assert p.pull(hub).returncode == 0 and p.is_right(data), faults
    return f"{len(REFUSED)} of them"


@test
def a_token_goes_to_the_hub_and_no_further(program, model, everything):
    data = big(1000)
    with Hub({"tiny-Q4_K_M.gguf": data}) as hub, Hub({"tiny-Q4_K_M.gguf": data}) as cdn, Place(program) as p:
        token = os.path.join(p.own.name, "token")
        with open(token, "w", encoding="utf-8") as f:
            f.write("# mine\nhf_secret\n")
        hub.faults = [f"away:{cdn.url}/cdn/tiny-Q4_K_M.gguf?sign=1".replace("?sign=1", "")]
        done = p.pull(hub, "--token-file", token)
        assert done.returncode == 0 and p.is_right(data), done.stderr
        assert [h.get("authorization") for _, h in hub.requests] == ["Bearer hf_secret"] * 2
        assert [h.get("authorization") for _, h in cdn.requests] == [None]
        assert "hf_secret" not in done.stdout + done.stderr
        for path in glob.glob(p.dir + "/**/*.json", recursive=True):
            assert b"hf_secret" not in bytes_of(path)


@test
def names_and_certificates_are_looked_up_in_the_sandbox(program, model, everything):
    data = big(300000)
    cert, key = (os.path.join(TLS, n) for n in ("cert.pem", "key.pem"))
    with Hub({"tiny-Q4_K_M.gguf": data}, tls=(cert, key)) as hub, Place(program) as p:
        assert hub.url.startswith("https://localhost:")
        unknown = p.pull(hub)
        assert unknown.returncode == 3 and "not trusted" in unknown.stderr, unknown.stderr
        hub.faults = ["drop:100000"]
        done = p.pull(hub, "--ca-file", cert)
        assert done.returncode == 0 and p.is_right(data), done.stderr
        assert kinds(done) == ["begin", "retry", "done"], done.events
        return f"seccomp {done.events[0]['seccomp']}, Landlock {done.events[0]['landlock_abi']}"


@test
def references_and_lists_that_lead_out_of_the_store_are_refused(program, model, everything):
    data = big(1000)
    with Hub({"../../../tiny-Q4_K_M.gguf": data, ".hidden-Q4_K_M.gguf": data}) as hub, Place(program) as p:
        assert p.pull(hub).returncode == 2
        for what in ("hf:../x", "hf:a/..", "hf:a/b:..", "ollama:../x", "hf:a", "hf:a/b/c", "https://h/../x.gguf",
                     "https://u@h/x.gguf", "https://h/x.gguf?y", "https://h/x", "hf:" + "a" * 81 + "/b", "x",
                     "http://example.com/x.gguf"):
            assert p.pull(hub, what=what).returncode == 2, what
        os.makedirs(p.dir + "/hf", exist_ok=True)
        outside = os.path.join(p.own.name, "outside")
        os.mkdir(outside)
        os.symlink(outside, p.dir + "/hf/tolstoy")
        hub.files = {"tiny-Q4_K_M.gguf": data}
        assert p.pull(hub).returncode == 3 and os.listdir(outside) == []


def kill_after(child, hub, n_bytes, pause_s):
    """When the hub has sent so many bytes (at once, where that is below 0), and a moment later."""
    until = hub.n_sent + n_bytes
    while hub.n_sent < until and child.poll() is None:
        time.sleep(0.0005)
    time.sleep(pause_s)
    child.send_signal(signal.SIGKILL)


def kill_at_random(program, data, rate, n_kills, seed):
    """Pulls again and again, killed after a random number of bytes, until n_kills kills were survived: from before the
    first to beyond the last, when the file is synced and gets its name."""
    dice = random.Random(seed)
    n, n_there, n_resumed, n_whole = 0, 0, 0, 0
    while n < n_kills:
        with Hub({"tiny-Q4_K_M.gguf": data}, rate=rate) as hub, Place(program) as p:
            there, stuck = 0, 0
            while n < n_kills and not p.is_right(data):
                before, there = there, p.n_partial()
                stuck = stuck + 1 if there == before else 0  # then it gets longer, until it gets further
                child = subprocess.Popen([program, *p.words(hub)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                         text=True, env=p.env)
                n_bytes = dice.uniform(-0.1, 1.1) * len(data) * dice.choice((0.2, 1))
                killer = threading.Thread(target=kill_after, daemon=True, args=(
                    child, hub, min(n_bytes, len(data) - there), dice.uniform(0, 0.03) * 2 ** stuck))
                killer.start()
                events = [json.loads(line) for line in child.stdout if line.endswith("}\n")]
                n += child.wait() == -signal.SIGKILL
                killer.join()
                begun = [e for e in events if e["event"] == "begin"]
                if begun:
                    n_there += there
                    n_resumed += begun[0]["done"]
                assert not [e for e in events if e["event"] == "restart"], events
            n_whole += p.is_right(data)
            assert p.pull(hub).returncode == 0 and p.is_right(data)
    return n, n_there, n_resumed, n_whole


@test
def killed_at_any_time_the_file_is_absent_or_right_and_goes_on(program, model, everything):
    data = big(3000000)
    n, there, resumed, whole = kill_at_random(program, data, 12e6, ALL_KILLS if everything else KILLS, 9)
    assert there > 0 and resumed >= 0.95 * there, (resumed, there)
    return f"{n} kills, {whole} files became whole on the way, {resumed} of {there} bytes that were there were kept"


@test
def two_pulls_of_one_file_do_not_meet(program, model, everything):
    data = big(2000000)
    with Hub({"tiny-Q4_K_M.gguf": data}, rate=4e6) as hub, Place(program) as p:
        first = subprocess.Popen([program, *p.words(hub)], stdout=subprocess.PIPE, text=True, env=p.env)
        assert "sandbox" in first.stdout.readline() and "begin" in first.stdout.readline()
        second = p.pull(hub)
        assert second.returncode == 2 and "another hearth fetches" in second.stderr, second.stderr
        first.communicate(timeout=PATIENCE_S)
        assert first.returncode == 0 and p.is_right(data)


FULL = """
set -e
mount -t tmpfs -o size=64m tmpfs "$1"
shift
exec "$@"
"""


@test
def a_full_disk_keeps_what_came_and_says_what_is_missing(program, model, everything):
    if not everything:
        raise Skip("a disk is filled with --all")
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(["unshare", "--mount", "sh", "-c", FULL, "sh", folder, "true"], capture_output=True,
                               check=False)
        if tried.returncode != 0:
            raise Skip("no file system may be mounted here")
        data = big(80 << 20)
        with Hub({"tiny-Q4_K_M.gguf": data}) as hub, Place(program, folder) as p:
            script = FULL.replace('exec "$@"', 'set +e; "$@"; echo "code $?"; head -c 30000000 /dev/zero > "$0.fill"; '
                                  'ls "$(dirname "$0.fill")" >/dev/null; find $HEARTH_STORE_DIR -type f | wc -l')
            done = subprocess.run(["unshare", "--mount", "sh", "-c", script, os.path.join(folder, "x"), folder, program,
                                   *p.words(hub)], capture_output=True, text=True, env=p.env, check=False)
            assert "code 4" in done.stdout and "are missing" in done.stderr, done.stdout + done.stderr
            # The list says nothing of the size of an address: it is full in the middle.
            data = hub.files["tiny-Q4_K_M.gguf"] = big(50 << 20)
            late = FULL.replace('exec "$@"', 'set +e; (sleep 0.4; head -c 40000000 /dev/zero > "$FILL") & "$@"; '
                                'echo "code $?"; wait; rm "$FILL"; "$@"; echo "code $?"; '
                                'sha256sum $HEARTH_STORE_DIR/hf/*/*/*')
            hub.rate = 40e6
            done = subprocess.run(["unshare", "--mount", "sh", "-c", late, "sh", folder, program, *p.words(hub)],
                                  capture_output=True, text=True, check=False,
                                  env={**p.env, "FILL": os.path.join(folder, "fill")})
            assert "code 3" in done.stdout and "make room" in done.stderr, done.stdout + done.stderr
            assert "code 0" in done.stdout and hashlib.sha256(data).hexdigest() in done.stdout.splitlines()[-1]
            resumed = [json.loads(x) for x in done.stdout.splitlines() if '"begin"' in x][-1]["done"]
            assert resumed > 0
            return f"{resumed} bytes were kept"


if __name__ == "__main__":
    sys.exit(main())
