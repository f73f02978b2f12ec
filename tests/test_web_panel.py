import json
import re
from dataclasses import fields

import pytest

from pipeline.animator import AnimateOptions
from tests.web_app import client
from web.panel import GROUPS


@pytest.fixture(scope="module")
def config() -> dict:
    """What Gradio tells the browser about the page."""
    with client() as web:
        return web.get("/config").json()


def test_every_option_has_one_place():
    placed = [name for names in GROUPS.values() for name in names]
    assert sorted(placed) == sorted(spec.name for spec in fields(AnimateOptions))


def test_controls_come_from_the_options(config):
    props = {component["props"].get("elem_id"): component["props"] for component in config["components"]}
    for spec in fields(AnimateOptions):
        control = props[f"option-{spec.name}"]
        assert (control["value"], control["label"], control["info"]) == (
            spec.default,
            spec.metadata["label"],
            spec.metadata["hint"],
        )
        if "low" in spec.metadata:
            assert (control["minimum"], control["maximum"]) == (spec.metadata["low"], spec.metadata["high"])


def test_no_control_asks_the_server(config):
    changes = [known for known in config["dependencies"] if known["targets"][0][1] == "change"]
    assert len(changes) == len(fields(AnimateOptions))
    assert not any(change["backend_fn"] for change in changes)


def test_the_promised_elements(config):
    html = json.dumps(config)
    for name in ("camera", "animated", "start", "stop", "calibrate", "status", "fps", "latency"):
        assert html.count(f'id=\\"{name}\\"') == 1
    assert re.search(r'<p id=\\"status\\"[^>]*data-state=\\"idle\\"', html)
    assert len(re.findall(r"<video[^>]*playsinline muted autoplay", html)) == 2


def test_only_what_the_animator_supports(monkeypatch):
    monkeypatch.setattr("tests.web_app.PickyAnimator.supports", frozenset({"head"}))
    with client() as web:
        assert re.findall(r"option-(\w+)", web.get("/config").text) == ["head"]
