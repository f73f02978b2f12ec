import re
from collections.abc import Iterator
from dataclasses import fields, replace

import pytest
from starlette.testclient import TestClient

from pipeline.core.options import AnimateOptions
from tests.support.fakes import LOOPBACK
from tests.support.web_app import client, make_engine
from web import panel
from web.core.settings import Settings
from web.panel import GROUPS, PRESETS


@pytest.fixture(scope="module")
def web() -> Iterator[TestClient]:
    with client(with_panel=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def config(web) -> dict:
    """What Gradio tells the browser about the page."""
    return web.get("/config").json()


def test_the_page_is_there(web):
    response = web.get("/")
    assert response.status_code == 200 and "Portrait puppet" in response.text
    assert web.get("/client/live/main.js").status_code == 200
    assert web.get("/client/../settings.py").status_code == 404


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_no_page_that_loads_from_elsewhere(web, path):
    assert web.get(path).status_code == 404


def test_every_option_has_one_place():
    placed = [name for names in GROUPS.values() for name in names]
    assert sorted(placed) == sorted(spec.name for spec in fields(AnimateOptions))


def test_controls_come_from_the_options(config):
    props = {component["props"].get("elem_id"): component["props"] for component in config["components"]}
    for spec in fields(AnimateOptions):
        if "colour" in spec.metadata:
            continue  # the browser's own
        control = props[f"option-{spec.name}"]
        assert (control["value"], control["label"], control["info"]) == (
            spec.default,
            spec.metadata["label"],
            spec.metadata["hint"],
        )
        if "low" in spec.metadata:
            assert (control["minimum"], control["maximum"]) == (spec.metadata["low"], spec.metadata["high"])


def test_every_number_has_its_unit(config):
    classes = {known["props"].get("elem_id"): known["props"].get("elem_classes") for known in config["components"]}
    units = {"×": ["times"], "°": ["degrees"], "": ["bare"]}
    for spec in fields(AnimateOptions):
        if "unit" in spec.metadata:
            assert classes[f"option-{spec.name}"] == units[spec.metadata["unit"]]


def test_the_colour_is_the_browsers_own_control(config):
    [colour] = [known for known in config["components"] if known["props"].get("elem_id") == "option-background_colour"]
    assert f'<input type="color" value="{AnimateOptions.background_colour}">' in colour["props"]["value"]


def test_presets_are_options_that_fit():
    for values in PRESETS.values():
        assert AnimateOptions().changed(values) != AnimateOptions() or not values


def test_gradio_is_asked_for_no_values_of_its_own(config):
    """Presets reach the controls by one click, whose script gives all values in the controls' order."""
    ids = {known["id"]: known["props"].get("elem_id") for known in config["components"]}
    [apply] = [known for known in config["dependencies"] if ids.get(known["targets"][0][0]) == "apply"]
    order = [ids[output].removeprefix("option-") for output in apply["outputs"]]
    assert order == [name for names in GROUPS.values() for name in names if name != "background_colour"]
    assert not apply["backend_fn"] and apply["js"] == "() => window.puppet.options.controlValues()"


def test_no_control_asks_the_server(config):
    changes = [known for known in config["dependencies"] if known["targets"][0][1] == "change"]
    assert len(changes) == len(fields(AnimateOptions)) - 1  # the colour is the browser's own control
    assert not any(change["backend_fn"] for change in changes)


def test_the_promised_elements(web):
    html = web.get("/").text
    names = ("camera", "animated", "start", "stop", "calibrate", "status", "fps", "latency", "drops", "audio", "record")
    for name in names:
        assert html.count(f'id="{name}"') == 1
    assert re.search(r'<p id="status"[^>]*data-state="idle"', html)
    assert len(re.findall(r"<video[^>]*playsinline muted autoplay", html)) == 2


def test_the_modules_of_the_live_tab_are_fetched_at_once(web):
    modules = re.findall(r'<link rel="modulepreload" href="([^"]+)">', web.get("/").text)
    assert "client/live/main.js" in modules and "client/shared/whep.js" in modules
    assert {web.get(f"/{module}").status_code for module in modules} == {200}


def test_only_what_the_animator_or_the_session_supports(monkeypatch):
    monkeypatch.setattr("tests.support.web_app.PickyAnimator.supports", frozenset({"head"}))
    with client(with_panel=True) as web:
        assert re.findall(r'"elem_id":"option-(\w+)"', web.get("/config").text) == ["head", "size"]


def test_ice_servers_are_as_browsers_take_them() -> None:
    servers = ("stun:a.example", "turn:user:secret@b.example")
    settings = Settings(media=replace(LOOPBACK, ice_servers=servers))
    assert panel._config(settings, make_engine())["iceServers"] == [
        {"urls": "stun:a.example", "username": "", "credential": ""},
        {"urls": "turn:b.example", "username": "user", "credential": "secret"},
    ]
