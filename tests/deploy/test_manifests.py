"""The manifests for Kubernetes are what its API takes, and say what the program and its documentation say."""

import copy
import os
import re
import subprocess

import kubernetes_validate
import pytest
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ["HEARTH_PROGRAM"]
VERSION = "1.33"

with open(os.path.join(ROOT, "examples", "kubernetes", "hearth.yaml"), encoding="utf-8") as f:
    MANIFESTS = list(yaml.safe_load_all(f))
BY_KIND = {m["kind"]: m for m in MANIFESTS}
POD = BY_KIND["Deployment"]["spec"]["template"]
CONTAINER = POD["spec"]["containers"][0]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda m: m["kind"])
def test_the_api_takes_it(manifest):
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_a_key_that_is_none_is_seen():
    wrong = copy.deepcopy(BY_KIND["Deployment"])
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_every_selector_means_the_pods():
    labels = POD["metadata"]["labels"]
    selectors = [BY_KIND["Deployment"]["spec"]["selector"]["matchLabels"], BY_KIND["Service"]["spec"]["selector"],
                 BY_KIND["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
                 BY_KIND["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert BY_KIND["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "hearth"


def test_the_program_knows_the_options():
    usage = subprocess.run([PROGRAM, "serve", "--help"], check=True, capture_output=True, text=True).stdout
    known = set(re.findall(r"--[a-z][a-z-]+", usage))
    assert {a.split("=")[0] for a in CONTAINER["args"] if a.startswith("--")} <= known


def test_a_drain_ends_before_the_pod_is_killed():
    ms = {a.split("=")[0]: int(a.split("=")[1]) for a in CONTAINER["args"] if a.endswith("000")}
    assert (ms["--linger-ms"] + ms["--drain-ms"]) / 1000 + 2 <= POD["spec"]["terminationGracePeriodSeconds"]


def test_the_metric_is_one_that_there_is():
    with open(os.path.join(ROOT, "docs", "operating.md"), encoding="utf-8") as f:
        documented = f.read()
    for metric in BY_KIND["HorizontalPodAutoscaler"]["spec"]["metrics"]:
        assert metric["pods"]["metric"]["name"] in documented
