"""Imports go web -> realtime -> pipeline, and heavy or optional packages are where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from pipeline import doctor

ROOT = Path(__file__).parent.parent
LAYERS = ("pipeline", "realtime", "web")  # each may import those before it
SOURCES = [ROOT / "run.py", *(path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py")))]
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}
ORDER = (  # folders, each of which may import those in the lines before its own
    "pipeline/models",
    "pipeline/face",
    "pipeline/core",
    "pipeline/imaging pipeline/driving",
    "pipeline/meshwarp pipeline/liveportrait/networks",
    "pipeline/liveportrait",
    "pipeline/liveportrait/backends/ops pipeline/liveportrait/cuda",
    "pipeline/liveportrait/backends",
    "pipeline/files",
    "pipeline",
    "pipeline/bench",
    "pipeline/bench/compare",
    "realtime/core",
    "realtime/driver realtime/metrics realtime/gpu",
    "realtime/webrtc",
    "realtime/endpoints",
    "realtime",
    "realtime/bench",
    "web/core",
    "web/services",
    "web/routes",
    "web",
    "web/cli",
    ".",
)
RANKS = {folder: rank for rank, line in enumerate(ORDER) for folder in line.split()}
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
        *("pipeline/liveportrait/", "pipeline/bench/", "pipeline/load_liveportrait.py", "pipeline/doctor.py"),
        *("pipeline/files/liveportrait_jobs.py", "pipeline/files/source_video.py"),
        *("realtime/gpu/", "realtime/bench/"),
    ),
    "ai_edge_litert": ("pipeline/face/", "pipeline/meshwarp/", "pipeline/models/attention_mesh.py"),
}
OPTIONAL = {  # package -> the one place that imports it, when it is used
    "pyvirtualcam": "realtime/endpoints/virtual_camera.py",
    "cuda": "pipeline/liveportrait/cuda/device.py",
    "onnxruntime": "pipeline/liveportrait/backends/onnx.py",
    "tensorrt": "pipeline/liveportrait/backends/tensorrt.py",
    "triton": "pipeline/liveportrait/backends/ops/",  # the kernels
}


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


def own_imports(path: Path) -> set[str]:
    """The project's modules that a file imports. `from package import module` is one of `package.module`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            names |= {module if module in MODULES else node.module for module in modules.values()}
    return names & MODULES.keys()


def folder_of(path: Path) -> str:
    return path.relative_to(ROOT).parent.as_posix()


def roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layers_and_homes(path):
    place = path.relative_to(ROOT).as_posix()
    layer = place.partition("/")[0]
    if layer in LAYERS:
        assert not roots(path) & set(LAYERS[LAYERS.index(layer) + 1 :])
    for package in roots(path) & (HOMES | OPTIONAL).keys():
        assert place.startswith((HOMES | OPTIONAL)[package]), f"{package} may not be imported in {place}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_folder_imports_only_those_before_it(path):
    here = folder_of(path)
    for module in own_imports(path) - set(LAYERS):  # a layer's own `__init__` imports nothing but when it is asked
        there = folder_of(MODULES[module])
        assert there == here or RANKS[there] < RANKS[here], f"{here} may not import {module}"


def test_no_file_imports_itself_over_others():
    graph = {name: own_imports(path) - {name} for name, path in MODULES.items()}
    list(TopologicalSorter(graph).static_order())  # CycleError names the circle


def test_no_folder_is_too_full():
    files = Counter(folder_of(path) for path in SOURCES if path.name != "__init__.py")
    files += Counter(folder_of(path) for path in (ROOT / "web/static").rglob("*.js"))
    assert {folder: count for folder, count in files.items() if count > MOST_FILES} == {}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "pipeline/liveportrait/networks").glob("*.py")), ids=lambda path: path.name
)
def test_networks_know_pytorch_only(path):
    assert roots(path) - set(sys.stdlib_module_names) <= {"torch", "pipeline"}
    assert all(folder_of(MODULES[name]) == "pipeline/liveportrait/networks" for name in own_imports(path))


def test_every_package_is_pinned():
    pinned = {doctor.MODULES.get(name, name).partition(".")[0] for name, _ in doctor._pins(doctor.requirements())}
    used = set().union(*map(roots, SOURCES)) - set(sys.stdlib_module_names) - set(LAYERS)
    assert used - OPTIONAL.keys() - pinned == set()


def test_the_mesh_warp_path_loads_nothing_heavy():
    code = "import pipeline.files.animate, pipeline.load, pipeline.meshwarp.animator, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "gradio", "fastapi", "aiortc"} & set(done.stdout.split())


def test_the_command_line_starts_without_any_package():
    done = subprocess.run([sys.executable, "-S", "run.py", "doctor"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == ""
    assert "numpy: not installed" in done.stdout and doctor.INSTALL in done.stdout


def test_a_gpu_machine_measures_without_the_packages_for_media():
    code = """
import importlib, sys
for package in ("aiortc", "ai_edge_litert", "av", "fastapi", "gradio", "huggingface_hub", "psutil", "pydantic"):
    sys.modules[package] = None
for module in ("benchmark", "compare", "export"):
    importlib.import_module("web.cli." + module)
import pipeline.bench.networks, pipeline.bench.compare.compare, realtime.bench.device
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
