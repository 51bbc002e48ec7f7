"""What `hearth verify` found of a model is shown by a server that starts afterwards, while the file is the same."""

import os
import shutil
import subprocess

import pytest

from serving import CLEAN_ENV, PROGRAM


@pytest.fixture
def state(tmp_path):
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def verify(env, *words):
    return subprocess.run([PROGRAM, "verify", *words], env={**CLEAN_ENV, **env}, capture_output=True, text=True,
                          check=False)


def shown(server):
    (model,) = server.http.get("/v1/models").json()["data"]
    return model["meta"]["verified"]


def test_a_healthy_model_is_shown_as_one(serve, state):
    assert shown(serve(env=state)) is None
    assert verify(state).returncode == 0
    got = shown(serve(env=state))
    assert got["ok"] is True and got["problems"] == got["warnings"] == 0
    assert 1 < got["bits_per_byte"] < 2 and got["at"].endswith("Z") and got["version"]


def test_a_broken_one_too_until_its_file_is_another(serve, state, tiny, tmp_path):
    tiny = shutil.copy(tiny, tmp_path / "random.gguf")
    assert verify(state, tiny).returncode == 1
    got = shown(serve(env=state, model=tiny))
    assert got["ok"] is False and got["problems"] == 1
    with open(tiny, "r+b") as f:  # the same header, another byte of a tensor
        f.seek(-1, os.SEEK_END)
        last = f.read(1)[0]
        f.seek(-1, os.SEEK_END)
        f.write(bytes([last ^ 1]))
    assert shown(serve(env=state, model=tiny)) is None


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"identity": 7}', b"[" * 100000])
def test_a_kept_file_that_makes_no_sense_is_as_good_as_none(serve, state, text):
    assert verify(state).returncode == 0
    folder = os.path.join(state["XDG_STATE_HOME"], "hearth", "verified")
    (name,) = os.listdir(folder)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(text)
    assert shown(serve(env=state)) is None
