"""The panel: tabs and controls, the only file that imports Gradio. `static/live/main.js` handles the media."""

import base64
import contextlib
import dataclasses
import os
from typing import Any
from urllib.parse import quote

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

import cv2
import gradio as gr
import numpy as np
from fastapi import FastAPI

from pipeline.core.options import AnimateOptions
from realtime.driver.hints import HINTS
from realtime.session import OPTIONS
from realtime.sessions import UnknownSession
from realtime.webrtc.settings import IceServer
from web.core.program import STATIC
from web.core.settings import Settings
from web.first_paint import FirstPaint, parts, static_text
from web.services.advice import better
from web.services.engine import Engine

STYLES = ("shared/style.css", "live/live.css", "live/controls.css", "jobs/jobs.css")

GROUPS = {
    "Face": ("expression", "mouth", "eyes", "brows", "gaze"),
    "Head": ("head", "yaw", "pitch", "roll", "position"),
    "Smoothness": ("smoothing",),
    "Look": ("mirror", "badge", "driver_mouth", "stitching", "paste_back", "background", "background_colour", "size"),
    "Driving": ("relative", "region", "driving_multiplier", "normalize_lip", "eye_retargeting", "lip_retargeting"),
    "The portrait's own look": tuple(name for name in AnimateOptions.__dataclass_fields__ if name.startswith("edit_")),
}

PRESETS: dict[str, dict[str, float]] = {
    "As I am": {},
    "Lively": {"expression": 1.35, "brows": 1.3, "head": 1.15, "smoothing": 0.4},
    "Calm": {"expression": 0.75, "head": 0.6, "position": 0.5, "smoothing": 0.8},
    "Newsreader": {"head": 0.5, "roll": 0.4, "position": 0.0, "smoothing": 0.7},
}
"""By name: the options that differ from the defaults."""

# Gradio evaluates these inside a function of its own scripts, where a relative import would start from those.
START = """
import(new URL("client/{module}.js", document.baseURI).href).then((module) => module.start(element, props.config));
"""

# The Live tab moves here from the first paint, which ends. `moveBefore`, if there is one, keeps focus and videos.
MOVE_IN = """
const [stage, live] = [element.closest("#stage"), document.getElementById("live")];
stage.moveBefore ? stage.moveBefore(live, null) : stage.append(live);
document.getElementById("first-paint").remove();
"""

SET_PAGE = "(page) => { window.page = page; }"


def mount(app: FastAPI, settings: Settings, engine: Engine) -> None:
    """Put the panel at "/", behind the routes that `app` already has."""
    head, body = parts(_texts(engine), _config(settings, engine))
    app.add_middleware(FirstPaint, head=head, body=body)
    gr.mount_gradio_app(
        app,
        _panel(app, engine),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=1,
        theme=gr.themes.Base(
            primary_hue="indigo",
            neutral_hue="slate",
            radius_size="lg",
            font=["ui-sans-serif", "system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ),
        css_paths=[STATIC / name for name in STYLES],
    )


def _panel(app: FastAPI, engine: Engine) -> gr.Blocks:
    panel = gr.Blocks(title="Portrait puppet", analytics_enabled=False, fill_width=True)
    with panel:
        gr.HTML("<h1>Portrait puppet</h1>", elem_id="brand", apply_default_css=False)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Live", render_children=True):
                _live(engine)
            with gr.Tab("File"):
                _page("jobs/files", {"motion": "motion_files" in engine.loaded.animator.capabilities})
            with gr.Tab("Compare"):
                _page("jobs/compare", {})
        page = gr.Textbox(visible=False)
        loaded = panel.load(_hash, None, [page], queue=False, show_progress="hidden", api_visibility="private")
        loaded.then(None, [page], None, js=SET_PAGE, queue=False, api_visibility="private")

        async def leave(request: gr.Request) -> None:
            """End the page's session, even if the page's own request is lost."""
            if session := app.state.page_sessions.pop(request.session_hash, None):
                with contextlib.suppress(UnknownSession):
                    await app.state.sessions.close(session)

        panel.unload(leave)
    return panel


def _hash(request: gr.Request) -> str:
    return str(request.session_hash)


def _groups(engine: Engine) -> dict[str, list[str]]:
    """Return the options that the animator or the session supports, by group, in the order of their controls."""
    supported = engine.loaded.animator.supports | OPTIONS
    return {title: [name for name in names if name in supported] for title, names in GROUPS.items()}


def _live(engine: Engine) -> None:
    with gr.Row(elem_id="page"):
        with gr.Column(elem_id="stage", min_width=0):
            gr.HTML("<i></i>", js_on_load=MOVE_IN, apply_default_css=False)
        with gr.Column(elem_id="controls", min_width=0):
            gr.HTML(static_text("live/presets.html"), apply_default_css=False)
            controls = [control for title, names in _groups(engine).items() for control in _group(title, names)]
            apply = gr.Button("Apply", elem_id="apply", visible="hidden")
            values = "() => window.puppet.options.controlValues()"
            apply.click(None, None, controls, js=values, show_progress="hidden", queue=False, api_visibility="private")


def _page(module: str, config: dict[str, Any]) -> None:
    """Add a page of our own to a tab: `static/{module}.html`, started by `static/{module}.js`."""
    start = START.format(module=module)
    gr.HTML(static_text(f"{module}.html"), js_on_load=start, apply_default_css=False, config=config)


def _texts(engine: Engine) -> dict[str, str]:
    """Return the texts about this server that live.html shows."""
    loaded = engine.loaded
    return {
        "animator": loaded.animator.name,
        "device": loaded.device,
        "reason": loaded.reason,
        "better": better(loaded),
        "portrait": quote(engine.portraits.first.id),
        "thumbnail": _thumbnail(engine.portraits.first.rest),
        "portraits": str(len(engine.portraits.names)),
    }


def _thumbnail(jpeg: bytes) -> str:
    """Return a small copy as a data URI: it comes with the page and shows until the picture itself is there."""
    picture = np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))
    scale = 64 / max(picture.shape)
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return "data:image/jpeg;base64," + base64.b64encode(cv2.imencode(".jpg", small)[1].tobytes()).decode()


def _config(settings: Settings, engine: Engine) -> dict[str, Any]:
    """Return what live/main.js reads."""
    return {
        "portraits": engine.portraits.names,
        "iceServers": [dataclasses.asdict(IceServer.parse(text)) for text in settings.media.ice_servers],
        "options": dataclasses.asdict(AnimateOptions()),
        "controls": [name for names in _groups(engine).values() for name in names],
        "presets": PRESETS,
        "hints": dict(HINTS),
        "whip": settings.driver == "whip",
    }


def _group(title: str, names: list[str]) -> list[gr.components.Component]:
    """Add the controls of a group, and return those that are Gradio's."""
    if not names:
        return []
    with gr.Column(elem_classes="group", min_width=0):
        if len(names) > 1:
            gr.Markdown(f"## {title}")
        controls = [_control(name) for name in names if not name.endswith("colour")]
        for name in names:
            if name.endswith("colour"):
                _colour(name)
    return controls


def _colour(name: str) -> None:
    """Add the browser's own colour picker: Gradio's would open outside the column, which scrolls."""
    field = AnimateOptions.__dataclass_fields__[name]
    label = f'<label class="colour" title="{field.metadata["hint"]}">{field.metadata["label"]}'
    gr.HTML(
        f'{label}<input type="color" value="{field.default}"></label>',
        elem_id=f"option-{name}",
        apply_default_css=False,
    )


def _control(name: str) -> gr.components.Component:
    """Add a slider, switch or list. Its value goes to live/main.js and over the data channel: no queue in between."""
    default: Any = getattr(AnimateOptions, name)
    field = AnimateOptions.__dataclass_fields__[name].metadata
    texts = {"label": field["label"], "info": field["hint"], "elem_id": f"option-{name}"}
    control: Any
    if isinstance(default, bool):
        control = gr.Checkbox(default, **texts)
    elif isinstance(default, str):
        control = gr.Dropdown(list(field["choices"]), value=default, filterable=False, **texts)
    else:
        step = float(f"{(field['high'] - field['low']) / 40:.1g}")
        unit = {"×": "times", "°": "degrees"}.get(field["unit"], "bare")
        control = gr.Slider(field["low"], field["high"], default, step=step, elem_classes=unit, **texts)
    send = f"(value) => {{ (window.puppet?.options ?? window.early).set({{ {name}: value }}); }}"
    control.change(None, [control], None, js=send, show_progress="hidden", queue=False, api_visibility="private")
    made: gr.components.Component = control
    return made
