"""The panel, and the only file that knows Gradio: the page and its sliders. `static/client.js` moves the media."""

from __future__ import annotations

import dataclasses
import os
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

import gradio as gr
from fastapi import FastAPI

from pipeline.animator import AnimateOptions
from web.engine import Engine
from web.pages import Pages
from web.settings import Settings

STATIC = Path(__file__).parent / "static"

GROUPS = {
    "Face": ("expression", "mouth", "eyes", "brows", "gaze"),
    "Head": ("head", "smoothing"),
    "Picture": ("mirror", "badge", "driver_mouth", "paste_back"),
    "Driving": (
        *("relative", "region", "driving_multiplier", "stitching", "normalize_lip"),
        *("eye_retargeting", "lip_retargeting"),
    ),
    "The portrait's own look": tuple(name for name in AnimateOptions.__dataclass_fields__ if name.startswith("edit_")),
}

# Gradio evaluates this in a function of its own, where a relative import would start from Gradio's scripts.
ON_LOAD = """
import(new URL("client/client.js", document.baseURI).href).then((client) => client.start(element, props.config));
"""


TELL_PAGE = "(page) => { window.page = page; }"


def mount(app: FastAPI, settings: Settings, engine: Engine) -> None:
    """Put the panel at "/", behind the routes that `app` already has."""
    gr.mount_gradio_app(
        app,
        _panel(settings, engine, app.state.pages),
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
        css_paths=[STATIC / "style.css"],
    )


def _panel(settings: Settings, engine: Engine, pages: Pages) -> gr.Blocks:
    panel = gr.Blocks(title="Portrait puppet", analytics_enabled=False, fill_width=True)
    with panel, gr.Row(elem_id="page"):
        with gr.Column(elem_id="stage", min_width=0):
            gr.HTML(_stage(engine), js_on_load=ON_LOAD, apply_default_css=False, config=_config(settings, engine))
        with gr.Column(elem_id="controls", min_width=0):
            for title, names in GROUPS.items():
                _group(title, [name for name in names if name in engine.loaded.animator.supports])
        page = gr.Textbox(visible=False)
        told = panel.load(_page, None, [page], queue=False, show_progress="hidden", api_visibility="private")
        told.then(None, [page], None, js=TELL_PAGE, queue=False, api_visibility="private")

        async def leave(request: gr.Request) -> None:
            await pages.left(str(request.session_hash))

        panel.unload(leave)
    return panel


def _page(request: gr.Request) -> str:
    return str(request.session_hash)


def _stage(engine: Engine) -> str:
    loaded = engine.loaded
    words = {
        "animator": loaded.animator.name,
        "device": loaded.device,
        "reason": loaded.reason,
        "portrait": quote(engine.portraits.first.id),
    }
    template = Template((STATIC / "stage.html").read_text(encoding="utf-8"))
    return template.substitute({name: escape(word) for name, word in words.items()})


def _config(settings: Settings, engine: Engine) -> dict[str, Any]:
    """What client.js is told."""
    return {
        "portraits": engine.portraits.names,
        "iceServers": list(settings.media.ice_servers),
        "options": dataclasses.asdict(AnimateOptions()),
    }


def _group(title: str, names: list[str]) -> None:
    if names:
        with gr.Column(elem_classes="group", min_width=0):
            gr.Markdown(f"### {title}")
            for name in names:
                _control(name)


def _control(name: str) -> None:
    """A slider or a switch that tells client.js, which tells the server over the data channel: no queue between."""
    default: float | bool | str = getattr(AnimateOptions, name)
    told = AnimateOptions.__dataclass_fields__[name].metadata
    words = {"label": told["label"], "info": told["hint"], "elem_id": f"option-{name}"}
    control: gr.components.FormComponent
    if isinstance(default, bool):
        control = gr.Checkbox(default, **words)
    elif isinstance(default, str):
        control = gr.Dropdown(list(told["choices"]), value=default, **words)
    else:
        step = float(f"{(told['high'] - told['low']) / 40:.1g}")
        control = gr.Slider(told["low"], told["high"], default, step=step, **words)
    tell = f"(value) => {{ window.puppet?.set({{ {name}: value }}); }}"
    control.change(None, [control], None, js=tell, show_progress="hidden", queue=False, api_visibility="private")
