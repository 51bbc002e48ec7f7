#!/usr/bin/env python3
"""test_import.py: `hearth import --find` in made-up caches of other programs: what is a model is listed and imported
where it is, and nothing that they say leads anywhere else.

    tests/store/test_import.py build/hearth [NAME...]

Speaks TAP.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "life"))
from place import Place, bytes_of  # noqa: E402
from tap import main, test  # noqa: E402


def put(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    return path


def manifest(digest, size):
    layers = [{"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:" + "1" * 64, "size": 3},
              {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + digest, "size": size}]
    return json.dumps({"schemaVersion": 2, "layers": layers}).encode()


class Home:
    """A home with caches, and a store."""

    def __init__(self, program, model):
        self.place, self.data = Place(program), bytes_of(model)
        self.digest = hashlib.sha256(self.data).hexdigest()
        self.dir = os.path.join(self.place.own.name, "home")
        for name in ("OLLAMA_MODELS", "HF_HUB_CACHE", "HF_HOME", "LLAMA_CACHE", "XDG_CACHE_HOME"):
            self.place.env.pop(name, None)
        self.place.env["HOME"] = self.dir
        os.makedirs(self.dir)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.place.own.cleanup()

    def ollama(self, name, folder=".ollama/models", digest=None, data=None, size=None):
        data = self.data if data is None else data
        digest = digest or hashlib.sha256(data).hexdigest()
        root = os.path.join(self.dir, folder)
        put(os.path.join(root, "blobs", "sha256-" + digest), data)
        put(os.path.join(root, "manifests", name), manifest(digest, len(data) if size is None else size))
        return os.path.join(root, "blobs", "sha256-" + digest)

    def hub(self, repo, file, data, revision="a" * 40, folder=".cache/huggingface/hub"):
        """As huggingface_hub does it: the file is a blob, and a link to it has its name."""
        root = os.path.join(self.dir, folder, "models--" + repo.replace("/", "--"))
        blob = put(os.path.join(root, "blobs", hashlib.sha256(data).hexdigest()), data)
        link = os.path.join(root, "snapshots", revision, file)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(os.path.relpath(blob, os.path.dirname(link)), link)
        return link

    def find(self, *words):
        done = self.place.run("import", "--find", *words)
        done.names = done.stdout.splitlines()
        return done

    def found(self):
        """{name: entry} of what is in the home: this machine may have caches of its own."""
        done = self.find("--json")
        assert done.returncode == 0, done.stderr
        return {m["name"]: m for m in json.loads(done.stdout) if m["path"].startswith(os.path.realpath(self.dir))}

    def listed(self):
        return {m["name"]: m for m in json.loads(self.place.run("list", "--json").stdout)}


@test
def models_of_all_four_programs_are_found_imported_and_run_where_they_are(program, model, everything):
    with Home(program, model) as h:
        blob = h.ollama("registry.ollama.ai/library/tiny/1b")
        h.ollama("registry.ollama.ai/someone/tiny/latest")
        h.ollama("hf.co/tolstoy/tiny/Q4_K_M")
        link = h.hub("tolstoy/tiny-gguf", "Q4/tiny-Q4_K_M.gguf", h.data)
        plain = put(os.path.join(h.dir, ".cache/lm-studio/models/tolstoy/tiny/t.gguf"), h.data)
        new = put(os.path.join(h.dir, ".lmstudio/models/tolstoy/tiny/u.gguf"), h.data)
        flat = put(os.path.join(h.dir, ".cache/llama.cpp/tolstoy_tiny_v.gguf"), h.data)
        put(os.path.join(h.dir, ".cache/llama.cpp/tolstoy_tiny_v.gguf.json"), b"{}")
        wanted = {
            "import/ollama/tiny/1b.gguf": (blob, h.digest),
            "import/ollama/someone/tiny/latest.gguf": (blob, h.digest),
            "import/ollama/hf.co/tolstoy/tiny/Q4_K_M.gguf": (blob, h.digest),
            "import/hf/tolstoy/tiny-gguf/Q4/tiny-Q4_K_M.gguf": (link, h.digest),
            "import/lmstudio/tolstoy/tiny/t.gguf": (plain, ""),
            "import/lmstudio/tolstoy/tiny/u.gguf": (new, ""),
            "import/llama.cpp/tolstoy_tiny_v.gguf": (flat, ""),
        }
        home = os.path.realpath(h.dir)
        found = h.found()
        assert {n: (m["path"], m["sha256"]) for n, m in found.items()} == \
            {n: (home + p[len(h.dir):], d) for n, (p, d) in wanted.items()}, found
        assert not any(m["imported"] for m in found.values()) and h.listed() == {}
        done = h.find()
        assert done.returncode == 0 and "Ollama: 3 found" in done.stderr and "import from LM Studio" in done.stdout
        assert "Hugging Face: 1 found" in done.stderr and "llama.cpp: 1 found" in done.stderr, done.stderr
        assert h.find("ollama:tiny:1b", "u", "import/llama.cpp/tolstoy_tiny_v").names == \
            [f"import/{n}.gguf" for n in ("ollama/tiny/1b", "lmstudio/tolstoy/tiny/u", "llama.cpp/tolstoy_tiny_v")]
        assert {n for n, m in h.found().items() if m["imported"]} == set(h.listed()) and len(h.listed()) == 3
        done = h.find("--all")
        assert done.returncode == 0 and set(wanted) <= set(done.names), done.stderr
        assert set(wanted) <= set(h.listed()) and all(m["imported"] for m in h.found().values())
        states = {n: m["verified"] for n, m in h.listed().items() if n in wanted}
        assert states == {n: "not read" if d else "no" for n, (_, d) in wanted.items()}, states
        for name in ("ollama:tiny:1b", "ollama:someone/tiny", "hf:tolstoy/tiny-gguf", "t", "tolstoy_tiny_v"):
            assert h.place.run("inspect", name).returncode == 0, name
        checked = json.loads(h.place.run("verify", "hf:tolstoy/tiny-gguf", "--no-keep", "--json").stdout)
        assert checked["sha256"] == [h.digest], checked["sha256"]
        n_files = sum(len(f) for _, _, f in os.walk(h.place.dir))
        assert n_files == len(h.listed()), "only notes are in the store"
        assert h.place.run("rm", "hf:tolstoy/tiny-gguf").returncode == 0 and bytes_of(link) == h.data


@test
def where_the_environment_says_another_folder_that_is_looked_through(program, model, everything):
    rows = [("OLLAMA_MODELS", "o", lambda h: h.ollama("registry.ollama.ai/library/x/latest", "o")),
            ("HF_HUB_CACHE", "c", lambda h: h.hub("a/b", "f.gguf", h.data, folder="c")),
            ("HF_HOME", "d", lambda h: h.hub("a/b", "f.gguf", h.data, folder="d/hub")),
            ("XDG_CACHE_HOME", "e", lambda h: h.hub("a/b", "f.gguf", h.data, folder="e/huggingface/hub")),
            ("XDG_CACHE_HOME", "f", lambda h: put(os.path.join(h.dir, "f/llama.cpp/f.gguf"), h.data)),
            ("LLAMA_CACHE", "g", lambda h: put(os.path.join(h.dir, "g/f.gguf"), h.data))]
    for variable, folder, make in rows:
        with Home(program, model) as h:
            make(h)
            assert h.found() == {}, variable
            h.place.env[variable] = os.path.join(h.dir, folder)
            assert len(h.found()) == 1, (variable, h.found())
            h.place.env[variable] = folder  # from wherever somebody stands
            assert h.found() == {}
            done = h.find()
            assert f"{variable} is no absolute path" in done.stderr, (variable, done.stderr)


def hostile(h):
    """Caches in which everything leads elsewhere, or is no model."""
    outside = put(os.path.join(h.dir, "outside/secret.gguf"), h.data)
    hub = os.path.join(h.dir, ".cache/huggingface/hub/models--a--b/snapshots/" + "a" * 40)
    os.makedirs(hub)
    os.makedirs(hub + "/../../blobs")
    for i, to in enumerate((outside, "../../../../../../outside/secret.gguf", "../../../../../../../../../etc/passwd",
                            "../../blobs/none", "x.gguf", "../../blobs", ".", "../../blobs/../blobs/a", "/", "a/../b")):
        os.symlink(to, f"{hub}/{i}.gguf")
    os.symlink(os.path.join(h.dir, "outside"), hub + "/folder")  # not gone into
    os.symlink("9.gguf", hub + "/l.gguf")
    os.symlink("l.gguf", hub + "/ll.gguf")
    flat = os.path.join(h.dir, ".cache/llama.cpp")
    put(flat + "/text.gguf", b"no model")
    put(flat + "/empty.gguf", b"")
    put(flat + "/a name.gguf", h.data)
    put(flat + "/.hidden.gguf", h.data)
    os.mkfifo(flat + "/pipe.gguf")
    os.makedirs(flat + "/folder.gguf")
    h.ollama("registry.ollama.ai/library/longer/latest", size=len(h.data) + 1)
    h.ollama("registry.ollama.ai/library/deep/er/latest")
    h.ollama("registry.ollama.ai/short")
    for i, text in enumerate((b"", b"[]", b"{" * 100, manifest("../" * 21 + "x", 1), manifest("A" * 64, 1),
                              manifest("2" * 64, 1), b"\xff" * 5000)):
        put(os.path.join(h.dir, f".ollama/models/manifests/registry.ollama.ai/library/bad/{i}"), text)
    return outside


@test
def what_leads_elsewhere_or_is_no_model_is_left_out_and_counted(program, model, everything):
    with Home(program, model) as h:
        outside = hostile(h)
        assert h.found() == {}, h.found()
        done = h.find()
        assert done.returncode == 0, done.stderr
        for said in ("Hugging Face: 12 left out", "llama.cpp: 3 left out", "Ollama: 10 left out"):
            assert said in done.stderr, (said, done.stderr)
        h.find("--all")
        assert not any(m["path"].startswith(h.dir) for m in h.listed().values())
        assert h.find("secret").returncode == 2 and bytes_of(outside) == h.data


@test
def of_several_revisions_the_newest_is_taken_and_a_set_keeps_its_names(program, model, everything):
    with Home(program, model) as h:
        old = h.hub("a/b", "f.gguf", h.data, "a" * 40)
        new = h.hub("a/b", "f.gguf", h.data + bytes(32), "b" * 40)
        os.utime(old, (1000, 1000))
        assert h.found()["import/hf/a/b/f.gguf"]["path"].endswith("b" * 40 + "/f.gguf")
        os.utime(new, (500, 500))
        assert h.found()["import/hf/a/b/f.gguf"]["path"].endswith("a" * 40 + "/f.gguf")
        done = h.find()
        assert "of 1 there is a newer version" in done.stderr, done.stderr
        assert h.find("hf:a/b").names == ["import/hf/a/b/f.gguf"]
        shutil.rmtree(os.path.dirname(old))  # the other program has cleaned up
        assert h.listed()["import/hf/a/b/f.gguf"]["verified"] == "gone"
        h.find("hf:a/b")
        assert h.listed()["import/hf/a/b/f.gguf"]["verified"] == "not read"


@test
def a_cache_that_may_not_be_read_is_said_and_damaged_files_do_not_hold_up_others(program, model, everything):
    with Home(program, model) as h:
        put(os.path.join(h.dir, ".cache/llama.cpp/damaged.gguf"), h.data[:1000])
        put(os.path.join(h.dir, ".cache/llama.cpp/good.gguf"), h.data)
        done = h.find("--all")
        assert done.returncode == 3 and "damaged.gguf" in done.stderr, done.stderr
        assert "import/llama.cpp/good.gguf" in done.names and "import/llama.cpp/damaged.gguf" not in h.listed()
        put(os.path.join(h.dir, ".lmstudio/models"), b"a file, no folder")
        done = h.find()
        assert done.returncode == 0 and "LM Studio: cannot open the folder" in done.stderr, done.stderr
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(h.dir, ".lmstudio/models"))
        for words in (["--all"], ["--json"], ["--find", "--all", "x"], []):
            assert h.place.run("import", *words).returncode == 2, words


if __name__ == "__main__":
    sys.exit(main())
