"""Check what this machine can do, what is missing and how to get it. Packages are imported by the checks only."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal

OLDEST_PYTHON = (3, 11)
REQUIREMENTS = Path(__file__).parent.parent / "requirements.txt"  # in a checkout only
INSTALL = (
    "python -m pip install -r requirements.txt"
    if REQUIREMENTS.is_file()
    else "install portrait-puppet again with pip, from where you got it"
)
SYSTEM_LIBRARIES = "sudo apt-get install libgl1 libglib2.0-0"  # which opencv-python needs
MODULES = {
    "opencv-python": "cv2",
    "huggingface-hub": "huggingface_hub",
    "pillow": "PIL",
    "prometheus-client": "prometheus_client",
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "cuda-python": "cuda.bindings",
}
"""Import names that differ from the package names."""
OPTIONAL_PACKAGES = ("torch", "cuda-python", "uvloop", "pyvirtualcam", "psutil")  # mesh-warp runs without them
V4L2 = Path("/sys/class/video4linux")
VIRTUAL_CAMERA_REMEDY = {
    "linux": "sudo apt-get install v4l2loopback-dkms && sudo modprobe v4l2loopback exclusive_caps=1 card_label=Puppet",
    "darwin": "Install OBS Studio 30 or newer (macOS 13 or newer), start its virtual camera once, stop it: "
    "brew install --cask obs",
    "win32": "Install OBS Studio, which has a virtual camera (winget install OBSProject.OBSStudio), or UnityCapture.",
}
CAMERA_FORMATS = {"darwin": "avfoundation", "win32": "dshow"}  # FFmpeg input formats that list cameras


@dataclass(frozen=True)
class Finding:
    """One line of the report. `blocks`: the default mode (mesh-warp in the browser) cannot run without it."""

    subject: str
    state: Literal["ok", "note", "missing"]
    detail: str
    remedy: str = ""
    blocks: bool = False


def examine(host: str, port: int) -> Iterator[Finding]:
    """Run every check; `host` and `port` are where the page would be served."""
    checks: Sequence[tuple[str, Callable[[], Iterator[Finding]]]] = (
        ("Python", python),
        ("Packages", lambda: packages(requirements())),
        ("Model files", model_files),
        ("LivePortrait", liveportrait),
        ("CUDA device", cuda_device),
        ("Video encoders", encoders),
        ("Cameras", cameras),
        ("Virtual camera", virtual_camera),
        ("Network", partial(network, host, port)),
    )
    for subject, check in checks:
        try:
            yield from check()
        except Exception as error:  # a broken package can raise anything, and the report must go on
            yield Finding(subject, "missing", f"cannot be checked ({error})", INSTALL)


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Iterator[Finding]:
    """Check the version of the interpreter."""
    text, oldest = ".".join(map(str, version)), ".".join(map(str, OLDEST_PYTHON))
    if version >= OLDEST_PYTHON:
        yield Finding("Python", "ok", text)
    else:
        yield Finding("Python", "missing", f"{text} is too old", f"Install Python {oldest} or newer.", blocks=True)


def requirements() -> list[str]:
    """Return the pinned packages, one requirement a line: from a checkout's file, or as installed."""
    if REQUIREMENTS.is_file():
        return REQUIREMENTS.read_text().splitlines()
    return importlib.metadata.requires("portrait-puppet") or []


def packages(lines: Sequence[str]) -> Iterator[Finding]:
    """Check that each pinned package is installed in its version and can be imported."""
    pins = dict(_pins(lines))
    findings = [finding for name, pin in pins.items() for finding in _package(name, pin)]
    yield from findings
    if not findings:
        yield Finding("Packages", "ok", f"all {len(pins)} as pinned")


def _pins(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        requirement, _, marker = line.partition(";")
        name, _, version = requirement.strip().partition("==")
        if version and f'"{sys.platform}"' not in marker and "extra" not in marker:  # the others exclude systems
            yield name, version


def _package(name: str, pin: str) -> Iterator[Finding]:
    needed = name not in OPTIONAL_PACKAGES
    try:
        version = importlib.metadata.version(name)
        importlib.import_module(MODULES.get(name, name))
    except importlib.metadata.PackageNotFoundError:
        yield Finding(name, "missing", f"not installed (pinned: {pin})", INSTALL, blocks=needed)
    except Exception as error:  # a package that is broken, or whose system library is missing
        remedy = SYSTEM_LIBRARIES if "cannot open shared object" in str(error) else INSTALL
        yield Finding(name, "missing", f"{version} cannot be imported ({error})", remedy, blocks=needed)
    else:
        if version.partition("+")[0] != pin:  # "+cpu", "+cu130": builds of the same version
            yield Finding(name, "note", f"{version} is installed, {pin} was tested", INSTALL)


def model_files() -> Iterator[Finding]:
    """Check the face models in the cache."""
    from pipeline.models import face_models
    from pipeline.models.store import cache_folder

    bad = [row for row in face_models.rows() if row.state != "present"]
    if not bad:
        yield Finding("Model files", "ok", f"verified in {cache_folder()}")
    for row in bad:
        yield Finding("Model files", "missing", f"{row.file} is {row.state}", "python run.py weights fetch")


def liveportrait() -> Iterator[Finding]:
    """Check that LivePortrait's checkpoints are in the cache folder."""
    from pipeline.models.liveportrait_hub import is_complete, weights_folder

    if is_complete(weights_folder()):
        yield Finding("LivePortrait", "ok", f"weights in {weights_folder()}")
    else:
        remedy = "python run.py weights fetch liveportrait (520 MB), or pass their folder with --weights"
        yield Finding("LivePortrait", "missing", "its weights are not downloaded; mesh-warp needs none", remedy)


def cuda_device() -> Iterator[Finding]:
    """Find the GPU that the LivePortrait animator would use."""
    import torch

    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        yield Finding("CUDA device", "ok", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, torch {torch.__version__}")
    elif torch.version.cuda is None:
        remedy = "With an NVIDIA GPU, install PyTorch's CUDA build; without one, mesh-warp is used."
        yield Finding("CUDA device", "missing", f"torch {torch.__version__} is built without CUDA", remedy)
    else:
        remedy = "With an NVIDIA GPU, install its driver; without one, mesh-warp is used."
        yield Finding("CUDA device", "missing", f"torch {torch.__version__} finds none", remedy)


def encoders() -> Iterator[Finding]:
    """Check that video can be encoded, and whether the GPU can do it."""
    if reason := _cannot_encode("libx264"):
        remedy = "python -m pip install --force-reinstall --only-binary=av av"
        yield Finding("H264 encoder", "missing", f"PyAV has no libx264 ({reason})", remedy, blocks=True)
    else:
        yield Finding("H264 encoder", "ok", "libx264")
    if reason := _cannot_encode("h264_nvenc"):
        remedy = "NVENC needs an NVIDIA GPU with its driver; libx264 is used instead."
        yield Finding("NVENC", "missing", f"h264_nvenc does not open ({reason})", remedy)
    else:
        yield Finding("NVENC", "ok", "h264_nvenc")


def _cannot_encode(codec: str) -> str:
    """Return why the codec cannot be opened, or an empty text if it can."""
    import av

    try:
        context = av.VideoCodecContext.create(codec, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt, context.time_base = 256, 256, "yuv420p", Fraction(1, 30)
        context.open()
    except Exception as error:  # unknown codec, no driver, no device
        return getattr(error, "strerror", None) or str(error)
    return ""


def cameras(devices: Path = V4L2, folder: Path = Path("/dev"), platform: str = sys.platform) -> Iterator[Finding]:
    """List the system's cameras by the names that `run.py camera --camera` takes."""
    found = list(_cameras_on_linux(devices, folder) if platform == "linux" else _cameras_elsewhere(platform))
    yield from found
    if not found:
        remedy = "Connect a webcam (in a virtual machine, pass it through), or use the demo driver (--camera demo)."
        yield Finding("Cameras", "missing", "no camera found", remedy)


def _cameras_on_linux(devices: Path, folder: Path) -> Iterator[Finding]:
    for device in _v4l2(devices):
        path, name = folder / device.name, (device / "name").read_text().strip()
        if _is_virtual(device):
            continue
        if os.access(path, os.R_OK | os.W_OK):
            yield Finding("Camera", "ok", f"{path}: {name}")
        else:
            yield Finding(
                "Camera", "missing", f"{path}: {name}: no permission", "sudo usermod -aG video $USER, then log in again"
            )


def _cameras_elsewhere(platform: str) -> Iterator[Finding]:
    import av

    devices = av.enumerate_input_devices(CAMERA_FORMATS[platform]) if platform in CAMERA_FORMATS else []
    for number, device in enumerate(device for device in devices if "video" in device.media_types):
        yield Finding("Camera", "ok", f"{number}: {device.description}")


def virtual_camera(devices: Path = V4L2, platform: str = sys.platform) -> Iterator[Finding]:
    """Check whether other programs can use the puppet as their camera."""
    remedy = VIRTUAL_CAMERA_REMEDY.get(platform, "")
    virtual = [device for device in _v4l2(devices) if _is_virtual(device)]
    for device in virtual:
        yield Finding("Virtual camera", "ok", f"/dev/{device.name}: {(device / 'name').read_text().strip()}")
    if platform != "linux":
        yield Finding("Virtual camera", "note", "OBS Studio provides it on this system", remedy)
    elif not virtual:
        yield Finding("Virtual camera", "missing", "no v4l2loopback device", remedy)


def _v4l2(devices: Path) -> list[Path]:
    return sorted(devices.glob("video*"))


def _is_virtual(device: Path) -> bool:
    return "virtual" in device.resolve().parts  # /sys/devices/virtual/video4linux: v4l2loopback


def network(host: str, port: int) -> Iterator[Finding]:
    """Check that media can use the loopback device and that the page's port is free."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
            media.bind(("127.0.0.1", 0))
        yield Finding("Media", "ok", "UDP on 127.0.0.1")
    except OSError as error:
        remedy = "Allow UDP sockets on the loopback device, or choose another address with --media-address."
        yield Finding("Media", "missing", f"no UDP on 127.0.0.1 ({error.strerror})", remedy, blocks=True)
    try:
        with socket.create_server((host, port)):
            yield Finding("Port", "ok", f"{host}:{port} is free")
    except OSError as error:
        remedy = "Stop the program that uses it, or choose another --port."
        yield Finding("Port", "note", f"{host}:{port} cannot be opened ({error.strerror})", remedy)
