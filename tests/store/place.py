"""place.py: a store in a folder of its own, for the tests beside it."""

import glob
import json
import os
import subprocess
import tempfile

PATIENCE_S = 100
NAME = "hf/tolstoy/tiny-gguf/tiny-Q4_K_M.gguf"


def bytes_of(model):
    with open(model, "rb") as f:
        return f.read()


class Place:
    """A store in a folder of its own, and the program that works on it."""

    def __init__(self, program, folder=None):
        self.program, self.own = program, None if folder else tempfile.TemporaryDirectory(prefix="hearth-store-")
        # A sanitizer looks at the process from inside when it ends.
        self.free = "build-" in program and "san" in program.rpartition("build-")[2]
        self.dir = os.path.join(folder or self.own.name, "models")
        clean = {k: v for k, v in os.environ.items() if not k.startswith("HEARTH_") and not k.endswith("_proxy")}
        self.env = {**clean, "HEARTH_CONFIG": "none", "HEARTH_STORE_DIR": self.dir}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.own:
            self.own.cleanup()

    def run(self, *words, env=None):
        return subprocess.run([self.program, *words], capture_output=True, text=True, timeout=PATIENCE_S,
                              env={**self.env, **(env or {})}, check=False)

    def words(self, hub, *words, what="hf:tolstoy/tiny-gguf"):
        free = ["--no-sandbox"] if self.free else []
        return ["pull", what, "--hub", hub.url, "--retry-wait", "1", "--json", *free, *words]

    def pull(self, hub, *words, what="hf:tolstoy/tiny-gguf"):
        done = self.run(*self.words(hub, *words, what=what))
        events = [json.loads(line) for line in done.stdout.splitlines()]
        done.model = next((e for e in events if e["event"] == "model"), None)  # the last one, where it came or is there
        done.events = [e for e in events if e["event"] != "model"]
        return done

    def path(self, name=NAME):
        return os.path.join(self.dir, name)

    def is_right(self, data, name=NAME):
        """The promise: absent, or right. True: it is there."""
        if not os.path.exists(self.path(name)):
            return False
        assert bytes_of(self.path(name)) == data, "a file under its final name is not what it must be"
        return True

    def n_partial(self):
        return sum(os.path.getsize(p) for p in glob.glob(self.dir + "/partial/*.part"))
