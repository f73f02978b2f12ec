import socket
from pathlib import Path

import pytest

from pipeline.imaging.source_picture import PortraitError
from realtime.webrtc.settings import MediaSettings
from web.core.settings import Settings
from web.serve import ServeError, serve


def untold(done, total):
    """No step of the warm-up is worth telling."""


def test_a_taken_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=rf"cannot listen on 127\.0\.0\.1 port {port} .*--port"):
            serve(Settings(port=port), untold)


@pytest.mark.parametrize("settings", [{"host": "256.1.1.1"}, {"host": "192.0.2.1"}, {"port": 70000}])
def test_an_address_that_cannot_be(settings):
    with pytest.raises(ServeError, match="cannot listen on"):
        serve(Settings(**{"port": 0, **settings}), untold)


def test_the_one_media_port_is_in_use():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"UDP port {port} of 127.0.0.1 .*--media-ports"):
            serve(Settings(port=0, media=MediaSettings(ports=(port, port))), untold)


def test_a_bad_certificate(tmp_path: Path):
    with pytest.raises(ServeError, match=r"missing\.pem cannot be used \(No such file"):
        serve(Settings(port=0, ssl_certfile=tmp_path / "missing.pem"), untold)
    (tmp_path / "words.pem").write_text("words")
    with pytest.raises(ServeError, match=r"words\.pem cannot be used .*PEM"):
        serve(Settings(port=0, ssl_certfile=tmp_path / "words.pem"), untold)


def test_a_source_that_is_not_there(tmp_path: Path):
    with pytest.raises(PortraitError, match=r"nobody\.jpg cannot be read \(No such file or directory\)"):
        serve(Settings(port=0, source=tmp_path / "nobody.jpg"), untold)


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("host", False)],
)
def test_what_is_local(host, local):
    assert Settings(host=host).local is local


def test_origins_are_written_as_browsers_do():
    assert Settings(allow_origins=("HTTPS://Friend.example/",)).origins == ("https://friend.example",)
