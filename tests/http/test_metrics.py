"""/metrics: the names that docs/operating.md promises, and figures that are those of what was asked."""

import json
import os
import re
import time

import pytest

from serving import PATIENCE_S, read_event

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000)
SAMPLE = re.compile(r'([a-z_:]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? ([-+0-9.eE]+)$')


def scrape(server, key=None):
    """({name: (type, help)}, {(name, labels): value}) as Prometheus reads them; everything must be well formed."""
    r = server.http.get("/metrics", headers={"Authorization": f"Bearer {key}"} if key else {})
    assert r.status_code == 200 and r.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families, values, help_of, current = {}, {}, {}, None
    assert r.text.endswith("\n")
    for line in r.text[:-1].split("\n"):
        if line.startswith("# HELP "):
            _, _, name, text = line.split(" ", 3)
            help_of[name] = text
        elif line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert current not in families and kind in ("counter", "gauge", "histogram"), line
            families[current] = (kind, help_of[current])
        else:
            m = SAMPLE.match(line)
            assert m, line
            base = re.sub(r"_(bucket|sum|count)$", "", m[1]) if families[current][0] == "histogram" else m[1]
            assert base == current, line  # all of a family stand together
            assert (m[1], m[2] or "") not in values, line
            values[m[1], m[2] or ""] = float(m[3])
    return families, values


def documented():
    """{name: (type, whether each model has its own)} of the table of docs/operating.md."""
    with open(os.path.join(ROOT, "docs", "operating.md"), encoding="utf-8") as f:
        rows = re.findall(r"^\| `((?:hearth_|vllm:)[a-z_]+)` \| (gauge|counter|histogram) \| (M?) ?\|", f.read(), re.M)
    assert len({name for name, _, _ in rows}) == len(rows)
    return {name: (kind, bool(own)) for name, kind, own in rows}


@pytest.fixture
def watched(serve, tiny, tmp_path):
    """A server, and the key of somebody who may see all."""
    path = tmp_path / "keys"
    path.write_text("alpha name=ann\nomega name=obs observer\nbeta name=bob requests=1\n")
    return serve("--ctx", "4096", "--parallel", "2", "--api-key-file", str(path), "--cache-dir", str(tmp_path / "kv"),
                 model=tiny), "omega"


def complete(server, key="alpha", **fields):
    body = {"prompt": "It was a long time ago", "max_tokens": 20, "ignore_eos": True, "seed": 1, **fields}
    return server.post("/v1/completions", body, headers={"Authorization": f"Bearer {key}"})


# ---- names ----

def test_the_list_in_the_manual_is_what_there_is(watched):
    server, key = watched
    families, _ = scrape(server, key)
    wanted = documented()
    assert {name: kind for name, (kind, _) in families.items()} == {name: kind for name, (kind, _) in wanted.items()}
    assert all(name.endswith("_total") == (kind == "counter") for name, (kind, _) in families.items())
    assert all(text.endswith((".", "gateways.")) for _, text in families.values())


def test_what_the_manual_marks_has_its_model_where_there_are_several(serve, tiny):
    server = serve("--ctx", "1024", "--alias", "one", "--alias", 'tw"o\\', models=[tiny, os.path.join(
        ROOT, "tests", "golden", "gguf", "model_ok_llama.gguf")])
    families, values = scrape(server)
    for name, (kind, own) in documented().items():
        if name.startswith(("hearth_key_", "hearth_disk_cache_")):
            assert name not in families  # there are no keys, and there is no cache on disk
            continue
        found = [labels for sample, labels in values if re.sub(r"_(bucket|sum|count)$", "", sample) == name]
        label = "model_name" if name.startswith("vllm:") else "model"
        for model in ('one', r'tw\"o\\'):
            has = any(f'{label}="{model}"' in labels for labels in found)
            assert has == (own or name.startswith("vllm:")), (name, kind, found)
    assert len(documented()) - len(families) == 7 + 14


def test_only_who_may_see_them_sees_keys(watched):
    server, key = watched
    families, _ = scrape(server, "alpha")
    assert not [name for name in families if "_key_" in name]
    assert '"ann"' not in server.http.get("/metrics", headers={"Authorization": "Bearer alpha"}).text
    _, values = scrape(server, key)
    assert {labels for name, labels in values if name == "hearth_key_requests_total"} == {
        'key="ann"', 'key="obs"', 'key="bob"'}


# ---- figures ----

def test_figures_are_those_of_what_was_asked(watched):
    server, key = watched
    answers = [complete(server).json() for _ in range(3)]
    usage = [a["usage"] for a in answers]
    prompt = sum(u["prompt_tokens"] for u in usage)
    cached = sum(u["prompt_tokens_details"]["cached_tokens"] for u in usage)
    server.http.headers["Authorization"] = f"Bearer {key}"
    server.idle()
    deadline = time.monotonic() + PATIENCE_S
    while (v := scrape(server, key)[1])["hearth_kv_pages", 'state="used"'] != 0:  # the round after the last answer's
        assert time.monotonic() < deadline
    for label, of in (("", "hearth_"), ('key="ann"', "hearth_key_")):
        assert v[of + "prompt_tokens_total", label] == prompt
        assert v[of + "prompt_tokens_cached_total", label] == cached > 0
        assert v[of + "output_tokens_total", label] == 60
    assert v["hearth_requests_completed_total", ""] == 3 and v["hearth_key_requests_total", 'key="ann"'] == 3
    seconds = sum(v[f"hearth_{part}_seconds_total", ""] for part in ("prompt", "output"))
    assert abs(v["hearth_key_seconds_total", 'key="ann"'] - seconds) < 0.001 * seconds + 1e-5
    assert v["hearth_key_requests_total", 'key="bob"'] == 0 and v["hearth_key_requests_running", 'key="ann"'] == 0
    assert v["hearth_ready", ""] == 1 and v["hearth_requests_running", ""] == 0 and v["hearth_slots", ""] == 2
    assert v["hearth_steps_total", ""] > 0 and 0 < v["hearth_step_age_seconds", ""] < PATIENCE_S
    plan = server.status()["models"][0]["plan"]
    for part in ("weights", "kv", "workspace", "vocabulary"):
        label = f'part="{"kv_cache" if part == "kv" else part}"'
        assert v["hearth_memory_bytes", label] == plan[part + "_bytes"]
    pages = {s: v["hearth_kv_pages", f'state="{s}"'] for s in ("used", "kept", "free")}
    assert pages["used"] == 0 and pages["kept"] > 0 and sum(pages.values()) * 64 >= 4096
    assert v["hearth_process_resident_bytes", ""] > 1 << 20 and v["hearth_process_cpu_seconds_total", ""] > 0


def test_histograms_have_a_time_for_each_answer_and_gap(watched):
    server, key = watched
    receipts = [complete(server, max_tokens=n).json()["hearth"] for n in (1, 2, 30)]
    complete(server, max_tokens=5, n=2, prompt=["It", "was"])
    _, v = scrape(server, key)
    for name, count in (("queue", 7), ("ttft", 7), ("inter_token", 0 + 1 + 29 + 4 * 4)):
        name = f"hearth_{name}_seconds"
        bounds = [f"{ms / 1000:g}" for ms in BOUNDS_MS] + ["+Inf"]
        buckets = [v[name + "_bucket", f'le="{b}"'] for b in bounds]
        assert buckets == sorted(buckets) and buckets[-1] == v[name + "_count", ""] == count, (name, buckets)
        assert 0 < v[name + "_sum", ""] < PATIENCE_S
    assert len([1 for name, _ in v if name == "hearth_queue_seconds_bucket"]) == len(BOUNDS_MS) + 1
    assert receipts


def test_what_waits_and_what_is_taken_are_seen_while_they_are(watched):
    server, key = watched
    body = json.dumps({"prompt": [5] * 1000, "max_tokens": 3000, "ignore_eos": True, "stream": True}).encode()
    held = [server.connect(PATIENCE_S) for _ in range(2)]
    try:
        for s in held:
            s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alpha\r\n"
                      b"Content-Length: %d\r\n\r\n" % len(body) + body)
        for s in held:
            read_event(s)
        with server.connect() as waits:
            waits.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer beta\r\n"
                          b"Content-Length: 9\r\n\r\n{")
            deadline = time.monotonic() + PATIENCE_S
            while True:
                _, v = scrape(server, key)
                if v["hearth_queue_depth", ""] == 1 and v["hearth_kv_pages", 'state="used"'] >= 16:
                    break
                assert time.monotonic() < deadline
            model = f'model_name="{server.model}"'
            assert v["hearth_requests_running", ""] == 2
            assert v["vllm:num_requests_waiting", model] == 1
            assert v["vllm:kv_cache_usage_perc", model] == v["hearth_kv_utilisation", ""]
            used, free = (v["hearth_kv_pages", f'state="{s}"'] for s in ("used", "free"))
            assert used >= 16 and free >= 0  # 1000 tokens are 16 pages; two may share them
            all_pages = used + free + v["hearth_kv_pages", 'state="kept"']
            assert abs(v["hearth_kv_utilisation", ""] - used / all_pages) < 1e-9
            assert v["hearth_key_requests_running", 'key="ann"'] == 2
            assert v["hearth_key_requests_running", 'key="bob"'] == 1
            assert complete(server, "beta").status_code == 429
            _, v = scrape(server, key)
            assert v["hearth_key_requests_refused_total", 'key="bob"'] == v["hearth_requests_refused_total", ""] == 1
    finally:
        for s in held:
            s.close()


def test_counters_never_fall(watched):
    server, key = watched
    families, before = scrape(server, key)
    for n in range(3):
        complete(server, max_tokens=5 * n + 1)
        server.post("/v1/completions", {"prompt": 1}, headers={"Authorization": "Bearer alpha"})
        _, after = scrape(server, key)
        for (name, labels), value in before.items():
            kind = families.get(name, families.get(re.sub(r"_(bucket|sum|count)$", "", name)))[0]
            if kind != "gauge":
                assert after[name, labels] >= value, (name, labels)
        before = after
