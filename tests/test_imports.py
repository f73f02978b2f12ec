"""Imports go web -> realtime -> pipeline, and heavy or optional packages are where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import doctor

ROOT = Path(__file__).parent.parent
LAYERS = ("pipeline", "realtime", "web")  # each may import those before it
SOURCES = [ROOT / "run.py", *(path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py")))]
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}
ORDER = (  # a folder may import those of its layer in earlier lines, and what is inside it
    *("pipeline/models", "pipeline/face", "pipeline/core", "pipeline/imaging pipeline/driving"),
    *("pipeline/meshwarp pipeline/liveportrait", "pipeline", "pipeline/files", "pipeline/bench"),
    *("realtime/core", "realtime/driver", "realtime/metrics realtime/endpoints realtime/webrtc realtime/gpu"),
    *("realtime", "realtime/bench"),
    *("web/core", "web/services", "web/routes", "web", "web/cli"),
)
MOST_FILES = 20  # of source code in one folder
HOMES = {  # package -> where alone it may be imported
    "gradio": ("web/panel.py",),
    "fastapi": ("web/",),
    "uvicorn": ("web/",),
    "prometheus_client": ("web/routes/metrics.py",),
    "aiortc": ("realtime/",),
    "aioice": ("realtime/",),
    "tqdm": ("web/cli/console.py",),
    "psutil": ("web/cli/latency_clients.py",),
    "huggingface_hub": ("pipeline/models/liveportrait_hub.py",),
    "torch": (
        *("pipeline/liveportrait/", "pipeline/bench/", "pipeline/load.py", "pipeline/doctor.py"),
        *("pipeline/files/liveportrait_jobs.py", "pipeline/files/source_video.py"),
        *("realtime/gpu/", "realtime/bench/"),
    ),
    "ai_edge_litert": ("pipeline/face/", "pipeline/meshwarp/", "pipeline/models/attention_mesh.py"),
}
OPTIONAL = {"pyvirtualcam", "cuda", "triton", "onnxruntime", "tensorrt"}  # imported when they are used


def imported(path: Path) -> set[str]:
    """Every module that a file imports, in functions and for type checkers too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(node.module)
    return names


def roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layers_and_homes(path):
    place = path.relative_to(ROOT).as_posix()
    layer = place.partition("/")[0]
    if layer in LAYERS:
        assert not roots(path) & set(LAYERS[LAYERS.index(layer) + 1 :])
    for package in roots(path) & HOMES.keys():
        assert place.startswith(HOMES[package]), f"{package} may be imported in {HOMES[package]} only"


def test_every_package_is_pinned():
    pinned = {doctor.MODULES.get(name, name).partition(".")[0] for name, _ in doctor._pins(doctor.requirements())}
    used = set().union(*map(roots, SOURCES)) - set(sys.stdlib_module_names) - set(LAYERS)
    assert used - OPTIONAL - pinned == set()


def test_the_mesh_warp_path_loads_nothing_heavy():
    code = "import pipeline.files.animate, pipeline.load, pipeline.meshwarp.animator, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "gradio", "fastapi", "aiortc"} & set(done.stdout.split())


def test_the_command_line_starts_without_any_package():
    done = subprocess.run([sys.executable, "-S", "run.py", "doctor"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == ""
    assert "numpy: not installed" in done.stdout and doctor.INSTALL in done.stdout
