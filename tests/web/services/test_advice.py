import pytest

from pipeline.core.registry import Loaded
from tests.support.fakes import FakeAnimator
from web.services import advice


def loaded(name: str) -> Loaded:
    animator = FakeAnimator()
    animator.name = name
    animator.capabilities = frozenset({"gpu"} if name == "liveportrait" else ())
    return Loaded(animator, "a test asked for it", "cpu")


@pytest.mark.parametrize(
    ("name", "gpu", "weights", "sentence"),
    [
        ("meshwarp", None, False, "It needs an NVIDIA GPU; none was found, and its weights (520 MB): python run.py"),
        ("meshwarp", None, True, "It needs an NVIDIA GPU; none was found."),
        ("meshwarp", "there", False, "It needs its weights (520 MB): python run.py weights fetch liveportrait."),
        ("meshwarp", "there", True, "LivePortrait can run here: start with --animator liveportrait."),
        ("liveportrait", None, True, "meshwarp is live here."),
        ("liveportrait", "there", True, ""),
    ],
)
def test_what_is_lacking(monkeypatch, name, gpu, weights, sentence):
    monkeypatch.setattr(advice.shutil, "which", lambda program: gpu)
    monkeypatch.setattr(advice, "is_complete", lambda folder: weights)
    assert sentence in advice.better(loaded(name))
