"""`run.py serve`: the page with the live puppet."""

from __future__ import annotations

import argparse
import dataclasses
import sys

from realtime.webrtc.settings import MediaSettings, address_for
from web.cli.console import bar, log
from web.cli.loading import fetched_face_models, use_one_thread
from web.core.settings import Settings


def run(parsed: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    log(parsed.verbose)
    sys.setswitchinterval(0.001)  # the thread that moves packets must not wait 5 ms for one that computes
    use_one_thread()
    settings = _settings(parsed)
    fetched_face_models()  # here, where a bar can show the download; the server finds them in the cache
    from web.serve import serve  # last, because Gradio takes seconds

    with bar("Warming up", "step") as progress:
        serve(settings, progress)
    return 0


def _settings(parsed: argparse.Namespace) -> Settings:
    address = parsed.media_address or address_for(parsed.host)
    servers, advertise = tuple(parsed.ice_server), parsed.advertise_address
    media = MediaSettings(address, parsed.media_ports, servers, advertise=advertise)
    names = {field.name for field in dataclasses.fields(Settings)} - {"media", "allow_origins"}
    chosen = {name: getattr(parsed, name) for name in names}
    return Settings(**chosen, media=media, allow_origins=tuple(parsed.allow_origin))
