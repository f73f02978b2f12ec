"""What "/" shows before Gradio has loaded: its document, with a head of ours and the Live tab already in it."""

import json
from collections.abc import Mapping
from html import escape
from string import Template
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.core.program import STATIC


class FirstPaint:
    """ASGI middleware that adds `head` and `body` to the HTML at "/", and compresses it: it comes before all else."""

    def __init__(self, app: ASGIApp, head: str, body: str) -> None:
        self._app = app
        self._document = GZipMiddleware(self._extended)
        self._parts = {b"</head>": head.encode(), b"<gradio-app": body.encode()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        here = scope["type"] == "http" and (scope["method"], scope["path"]) == ("GET", "/")
        await (self._document if here else self._app)(scope, receive, send)

    async def _extended(self, scope: Scope, receive: Receive, send: Send) -> None:
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, collect)
        start = next(message for message in messages if message["type"] == "http.response.start")
        document = b"".join(message.get("body", b"") for message in messages)
        for mark, part in self._parts.items():
            document = document.replace(mark, part + mark, 1)
        MutableHeaders(scope=start)["content-length"] = str(len(document))
        await send(start)
        await send({"type": "http.response.body", "body": document})


def parts(texts: Mapping[str, str], config: Mapping[str, Any]) -> tuple[str, str]:
    """Return the head and the body to add: the styles and modules of the Live tab, and the tab itself.

    `texts` are about this server, for live.html; `config` is what live/main.js reads.
    """
    style = "".join(static_text(name) for name in ("shared/style.css", "live/live.css", "first_paint/first_paint.css"))
    modules = sorted(path for folder in ("shared", "live") for path in (STATIC / folder).glob("*.js"))
    preload = [f'<link rel="modulepreload" href="client/{path.relative_to(STATIC).as_posix()}">' for path in modules]
    body = Template(static_text("first_paint/first_paint.html")).substitute(
        early=static_text("first_paint/early.js"),
        live=Template(static_text("live/live.html")).substitute({name: escape(text) for name, text in texts.items()}),
        config=json.dumps(config).replace("<", "\\u003c"),  # nothing in it ends the script
    )
    return f"<title>Portrait puppet</title><style>{style}</style>{''.join(preload)}", body


def static_text(name: str) -> str:
    """Return a file of web/static."""
    return (STATIC / name).read_text(encoding="utf-8")
