from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from pipeline import load_liveportrait  # noqa: E402
from pipeline.core.registry import AnimatorError, AnimatorSettings  # noqa: E402
from pipeline.load import load_animator  # noqa: E402
from pipeline.load_liveportrait import choose_dtype  # noqa: E402
from pipeline.models.liveportrait_hub import HUMAN  # noqa: E402
from tests.support.tiny_liveportrait import tiny_networks  # noqa: E402


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder with all files, which become the tiny networks."""
    monkeypatch.setattr(load_liveportrait, "load_networks", lambda folder, cache: tiny_networks())
    for file in HUMAN.files:
        (tmp_path / f"{file.name}.safetensors").touch()
    return tmp_path


def test_auto_without_weights_is_the_mesh(models, tmp_path):
    loaded = load_animator("auto", AnimatorSettings(models, 256, weights=tmp_path))
    assert (loaded.animator.name, loaded.device) == ("meshwarp", "cpu")
    assert loaded.reason == "LivePortrait's weights are not on this machine"


def test_auto_without_a_cuda_device_is_the_mesh(models, weights, monkeypatch):
    monkeypatch.setattr(load_liveportrait, "best_device", lambda: torch.device("cpu"))
    loaded = load_animator("auto", AnimatorSettings(models, 256, weights=weights))
    assert loaded.animator.name == "meshwarp" and loaded.reason == "there is no CUDA device for LivePortrait"


def test_liveportrait_says_its_weights_and_speed(models, weights):
    settings = AnimatorSettings(models, 256, "bf16", weights, "eager")
    loaded = load_animator("liveportrait", settings).warmed_up(lambda done, total: None)
    assert loaded.animator.name == "liveportrait"
    assert loaded.reason.startswith("you asked for it; stand-in weights: 1 of 1 files are not the official; ")
    assert loaded.reason.endswith(" a frame")
    assert torch.cuda.is_available() or loaded.device == "cpu, bfloat16"


def test_liveportrait_without_weights_is_an_error_with_the_remedy(models, tmp_path):
    with pytest.raises(AnimatorError, match=r"are not in .*; run `python run\.py weights fetch liveportrait`"):
        load_animator("liveportrait", AnimatorSettings(models, 256, weights=tmp_path))


@pytest.mark.parametrize(
    ("precision", "gpu", "dtype"),
    [
        ("auto", "NVIDIA H100", torch.float16),
        ("auto", "NVIDIA GeForce GTX 1660 Ti", torch.float32),
        ("fp16", "NVIDIA GeForce GTX 1660 Ti", torch.float16),
        ("bf16", None, torch.bfloat16),
        ("fp32", "NVIDIA H100", torch.float32),
    ],
)
def test_precision(precision, gpu, dtype):
    assert choose_dtype(precision, gpu) == dtype


@pytest.mark.parametrize(("instructions", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_precision_on_a_cpu_by_its_instructions(monkeypatch, instructions, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": instructions})
    assert choose_dtype("auto", None) == dtype


def test_half_precision_on_a_cpu_is_refused():
    with pytest.raises(AnimatorError, match="use --precision fp32 or bf16"):
        choose_dtype("fp16", None)


def test_torch_is_not_imported_without_weights(models, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch" or ".liveportrait" in name]:
        monkeypatch.delitem(sys.modules, name)
    load_animator("auto", AnimatorSettings(models, 256, weights=tmp_path))
    assert "torch" not in sys.modules
