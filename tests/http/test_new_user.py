"""What somebody new types, one command after the other: each says which comes next, and that is the one that is typed.

`make run` builds and ends with tools/first_run.sh; the hub is one of this machine and speaks what Hugging Face does.
"""

import os
import pty
import re
import select
import subprocess
import sys
import time

import openai

from serving import CLEAN_ENV, PATIENCE_S, PROGRAM, SANDBOX, Server

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "store"))
from hub_server import Hub  # noqa: E402


def said(argv, env):
    done = subprocess.run(argv, env=env, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, (argv, done.stderr)
    return done.stdout + done.stderr


def typed(argv, env, lines):
    """On a terminal: each line when the prompt is there, then Ctrl-D. What the screen got."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(argv, env={**env, "TERM": "dumb"}, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT)
    os.close(theirs)
    screen, left, deadline = b"", [*[line.encode() + b"\n" for line in lines], b"\x04"], time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.5)[0]:
            try:
                screen += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
        elif left and screen.endswith(b"> "):  # an answer may have that inside
            os.write(ours, left.pop(0))
    os.close(ours)
    assert child.wait(PATIENCE_S) == 0, screen
    return screen.decode(errors="replace")


def next_of(text, command):
    """The words of the next command, as the last one said it."""
    found = re.search(rf"^(?:next: |  ).*?\bhearth ({command}\b[^\n;,(]*)", text, re.M)
    assert found, f"nothing says `hearth {command}` is next: {text}"
    return found[1].split()


def test_each_step_names_the_next(tmp_path):
    env = {**CLEAN_ENV, "HEARTH_STORE_DIR": str(tmp_path / "models")}
    program = os.path.abspath(PROGRAM)
    path = str(tmp_path / "tiny-Q8_0.gguf")
    said([program, "dev", "synth", path, "--shape", "tiny", "--type", "Q8_0"], env)
    with open(path, "rb") as f:
        data = f.read()

    screen = said([os.path.join(ROOT, "tools", "first_run.sh"), program], env)
    screen = said([program, *next_of(screen, "doctor")], env)
    words = next_of(screen, "fit")[:2]
    assert words == ["fit", "--catalogue"]
    screen = said([program, *words, "--roofs", "80,980,250", "--memory", "16"], env)  # whatever this machine is
    assert "\nrecommended  " in screen
    words = next_of(screen, "pull")
    assert words[1] == "hf:OWNER/REPO"
    with Hub({"tiny-Q8_0.gguf": data}) as hub:
        screen = said([program, "pull", "hf:tolstoy/tiny-gguf", "--hub", hub.url, *SANDBOX], env)
    words = next_of(screen, "chat")
    assert "tiny-Q8_0.gguf" in said([program, "fit", words[1], "--roofs", "80,980,250", "--min-speed", "0"], env)
    screen = typed([program, *words], env, ["Hello"])
    words = next_of(screen, "serve")[:2]
    assert words == ["serve", "hf:tolstoy/tiny-gguf"]
    with Server(model=words[1], env=env) as server:
        assert "base URL" in server.screen and "curl " in server.screen
        with openai.OpenAI(base_url=server.base + "/v1", api_key="any", max_retries=0, timeout=60) as client:
            answer = client.chat.completions.create(model="any", messages=[{"role": "user", "content": "Hello"}],
                                                    max_tokens=8)
        assert answer.usage.completion_tokens >= 1
