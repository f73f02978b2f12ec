"""The server: load, listen, print one line, end cleanly."""

import gc
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn
from fastapi import FastAPI

from pipeline.core.animator import Progress
from realtime.webrtc.settings import MediaSettings
from web.app import create_app
from web.core.settings import Settings, is_loopback
from web.services.engine import Engine, load_engine

logger = logging.getLogger(__name__)


class ServeError(RuntimeError):
    """The server cannot start; the text is one sentence with the remedy."""


def serve(settings: Settings, progress: Progress) -> None:
    """Serve until Ctrl-C or SIGTERM, and return when all is closed. Print one line when the page is ready.

    `progress`: of the warm-up. Raise ServeError (port, certificate), PortraitError (source), AnimatorError or
    WeightsError, each with one sentence.
    """
    _check_certificate(settings)
    _check_media_port(settings.media)
    with listen(settings) as listener:
        engine = load_engine(settings, progress)
        for warning in _warnings(settings, engine):
            logger.warning(warning)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        scheme = "https" if settings.ssl_certfile else "http"
        url = f"{scheme}://{host}:{listener.getsockname()[1]}"
        loaded = engine.loaded
        config = uvicorn_config(create_app(settings, engine), settings)
        line = f"Portrait puppet: {url} ({loaded.animator.name} on {loaded.device}: {loaded.reason})"
        if settings.driver == "whip":
            line += f"\nSend streams (WHIP) to {url}/whip; watch them at {url}/view/whip, or by WHEP at {url}/whep/whip"
        gc.freeze()  # what is loaded stays: a collection over it would stop the pictures for 0.1 s, and the end for 1 s
        _Server(config, partial(print, line, flush=True)).run(sockets=[listener])


def uvicorn_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn serves the application."""
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ssl_certfile=settings.ssl_certfile,
        ssl_keyfile=settings.ssl_keyfile,
        timeout_graceful_shutdown=0,
    )


class WebServer(uvicorn.Server):
    """A server that ends at once, because open pages hold their requests for ever."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").disabled = True  # else each request that is cut off logs a traceback
        await super().shutdown(sockets)


class _Server(WebServer):
    """A server that calls `on_ready` when it accepts requests."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not raise the signal again after a clean end, as uvicorn does: the exit code stays 0."""
        ending = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, self.handle_exit) for number in ending]
        try:
            yield
        finally:
            for number, handler in zip(ending, before, strict=True):
                signal.signal(number, handler)


def _warnings(settings: Settings, engine: Engine) -> Iterator[str]:
    if settings.source is not None:
        yield from engine.portraits.first.portrait.warnings
    if not settings.local and settings.password is None:
        yield f"Everyone who reaches {settings.host} can use this server; set --password, and a certificate for https."
    if not settings.local and is_loopback(settings.media.address):
        yield f"Media is bound to {settings.media.address}: only browsers on this machine connect; set --media-address."


def listen(settings: Settings) -> socket.socket:
    """Return a socket that listens on the settings' host and port. Raise ServeError if they cannot be used."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen()  # clients that connect while the models load wait, and a second server fails here
    except (OSError, OverflowError) as error:
        listener.close()
        raise ServeError(
            f"The server cannot listen on {settings.host} port {settings.port} ({_reason(error)}); "
            "choose another --port, or end the program that uses it."
        ) from error
    return listener


def _check_media_port(media: MediaSettings) -> None:
    """Raise ServeError, before the models load, if the one port of all connections is in use."""
    if not media.ports or not media.one_port:
        return
    family = socket.AF_INET6 if ":" in media.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((media.address, media.ports[0]))
        except OSError as error:
            raise ServeError(
                f"Media cannot use UDP port {media.ports[0]} of {media.address} ({_reason(error)}); "
                "choose another in --media-ports, or end the program that uses it."
            ) from error


def _check_certificate(settings: Settings) -> None:
    if settings.ssl_certfile is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.ssl_certfile, settings.ssl_keyfile, password=""
        )
    except OSError as error:  # SSLError is one
        raise ServeError(
            f"The certificate {settings.ssl_certfile} cannot be used ({_reason(error)}); "
            "give a PEM file in --ssl-certfile and its key in --ssl-keyfile."
        ) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
