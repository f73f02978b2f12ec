"""A foreign WHIP client: PyAV's FFmpeg muxer, in its own process because it holds Python's lock."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
RATE = 30


@contextlib.contextmanager
def streaming(url: str, clip: Path, folder: Path, **options: str) -> Iterator[subprocess.Popen[str]]:
    """Connect to a WHIP endpoint and send a clip in a loop, in real time, until the end of the block."""
    words = [f"{name}={value}" for name, value in (certificate(folder) | options).items()]
    command = [sys.executable, "-m", "tests.support.streams", url, str(clip), *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        process.stdout.readline()
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def certificate(folder: Path) -> dict[str, str]:
    """Return FFmpeg's options: patience, and a certificate that aiortc accepts (FFmpeg's own is of another kind)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "puppet test")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    files = {"cert_file": folder / "cert.pem", "key_file": folder / "key.pem"}
    files["cert_file"].write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    files["key_file"].write_bytes(plain)
    return {option: str(path) for option, path in files.items()} | {"handshake_timeout": f"{PATIENCE * 1000:.0f}"}


def stream(url: str, clip: Path, options: dict[str, str]) -> None:
    """Send until interrupted; print "connected" once connected."""
    with av.open(str(clip)) as file:
        pictures = [frame.reformat(format="yuv420p") for frame in file.decode(video=0)]
    stopping = threading.Event()  # KeyboardInterrupt inside a PyAV callback would be lost
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    with av.open(url, "w", format="whip", options=options) as container:
        video = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "tune": "zerolatency"})
        video.codec_context.profile = "Baseline"
        video.codec_context.gop_size = RATE
        video.pix_fmt = "yuv420p"
        video.width, video.height = pictures[0].width, pictures[0].height
        container.start_encoding()
        print("connected", flush=True)
        start = time.monotonic()
        for count, frame in enumerate(itertools.cycle(pictures)):
            frame.pts, frame.time_base = count, Fraction(1, RATE)
            container.mux(video.encode(frame))
            if stopping.wait(max(0.0, start + count / RATE - time.monotonic())):
                break


if __name__ == "__main__":
    stream(sys.argv[1], Path(sys.argv[2]), dict(word.split("=", 1) for word in sys.argv[3:]))  # type: ignore[arg-type]
