"""The compiled backend against the networks as they are; on a GPU also its graphs."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from torch import nn  # noqa: E402

from pipeline.imaging.image_quality import psnr  # noqa: E402
from pipeline.liveportrait.backend import PreparedSource  # noqa: E402
from pipeline.liveportrait.backends.compiled import Compiled, _Drawer  # noqa: E402
from pipeline.liveportrait.backends.eager import Eager  # noqa: E402
from pipeline.liveportrait.backends.ops.graph import Graphs  # noqa: E402
from pipeline.liveportrait.checkpoint import Networks  # noqa: E402
from pipeline.liveportrait.keypoint_motion import decode  # noqa: E402
from pipeline.liveportrait.networks.layers import fold  # noqa: E402

CPU = torch.device("cpu")


def portrait(backend, seed):
    """A made-up source and its keypoints."""
    random = torch.Generator().manual_seed(seed)
    picture = torch.rand(1, 3, 16, 16, generator=random)
    picture = torch.nn.functional.interpolate(picture, size=(256, 256), mode="bilinear").to(backend.device)
    points = decode(backend.motion(picture)).transformed()
    return backend.appearance(picture), points


def moved(points, seed):
    return points + 0.03 * torch.randn(points.shape, generator=torch.Generator().manual_seed(seed)).to(points.device)


def folded(networks: Networks) -> Networks:
    """A copy, as checkpoints are loaded."""
    copies = copy.deepcopy(vars(networks))
    return Networks(**{name: fold(value) if isinstance(value, nn.Module) else value for name, value in copies.items()})


@pytest.fixture(scope="module")
def eager(stand_in_networks):
    return Eager(folded(stand_in_networks), CPU, torch.float32)


@pytest.fixture(scope="module")
def compiled(stand_in_networks):
    return Compiled(folded(stand_in_networks), CPU, torch.float32)


def test_it_draws_what_the_plain_networks_draw(eager, compiled):
    feature, points = portrait(eager, 0)
    driven = moved(points, 1)
    expected = eager.draw([eager.prepare_source(feature, points)], driven)
    found = compiled.draw([compiled.prepare_source(feature, points)], driven)
    assert (found - expected).abs().max() < 1e-4
    pictures = torch.rand(2, 3, 256, 256)
    assert torch.allclose(compiled.motion(pictures).packed(), eager.motion(pictures).packed(), atol=1e-4)


class Parts:
    """A drawing function whose result tells what reached it."""

    calls = 0

    def __call__(self, driven, feature, points):
        return torch.cat((driven.flatten(1), feature.flatten(1), points.flatten(1)), 1)


class Kept:
    def __init__(self, value):
        self.kept = (torch.full((1, 2), float(value)), torch.full((1, 1), -float(value)))


def test_a_portrait_is_copied_in_where_it_is_another_than_before():
    step = Graphs(CPU).step(Parts(), [torch.zeros(2, 1), torch.zeros(2, 2), torch.zeros(2, 1)])
    drawer = _Drawer(step)
    one, two = Kept(1), Kept(2)
    assert drawer([one, two], torch.tensor([[7.0], [8.0]])).tolist() == [[7, 1, 1, -1], [8, 2, 2, -2]]
    assert drawer([two, two], torch.tensor([[9.0], [8.0]])).tolist() == [[9, 2, 2, -2], [8, 2, 2, -2]]
    one.kept[0].fill_(5)  # what is in use is not read again
    assert drawer([two, one], torch.tensor([[9.0], [8.0]])).tolist() == [[9, 2, 2, -2], [8, 5, 5, -1]]
    two.kept[0].fill_(6)
    assert drawer([two, one], torch.tensor([[9.0], [8.0]])).tolist() == [[9, 2, 2, -2], [8, 5, 5, -1]]


@pytest.mark.parametrize(
    ("sizes", "count", "parts"),
    [((1,), 3, [1, 1, 1]), ((8, 4, 2, 1), 7, [4, 2, 1]), ((8, 4, 2, 1), 8, [8]), ((8, 4, 2, 1), 17, [8, 8, 1])],
)
def test_batches_are_split_into_sizes_that_there_are(compiled, monkeypatch, sizes, count, parts):
    monkeypatch.setattr(compiled, "_sizes", sizes)
    found = list(compiled._split(count))
    assert [part.stop - part.start for part in found] == parts
    assert found[0].start == 0 and found[-1].stop == count


@pytest.fixture(scope="module")
def gpu(stand_in_networks):
    """Both on a GPU: the reference in float32, ours in float16."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    device = torch.device("cuda")
    ours = Compiled(folded(stand_in_networks), device, torch.float16)
    ours.warm_up(lambda done, total: print(f"captured {done} of {total}", flush=True))
    return Eager(folded(stand_in_networks), device, torch.float32), ours


def sources(backend, reference, count) -> list[PreparedSource]:
    return [backend.prepare_source(*portrait(reference, seed)) for seed in range(count)]


@pytest.mark.gpu
@pytest.mark.timeout(900)
@pytest.mark.parametrize("batch", [1, 2, 3, 4, 7, 8])
def test_graphs_draw_what_the_plain_networks_draw(gpu, batch):
    reference, ours = gpu
    plain, kept = sources(reference, reference, batch), sources(ours, reference, batch)
    driven = torch.cat([moved(source.keypoints, seed) for seed, source in enumerate(plain)])
    found = ours.draw(kept, driven).clone()
    for index, source in enumerate(plain):
        expected = reference.draw([source], driven[index : index + 1])[0]
        assert psnr(found[index].cpu(), expected.cpu(), peak=1) > 45


@pytest.mark.gpu
@pytest.mark.timeout(900)
def test_motion_in_float16_stays_within_half_a_pixel(gpu):
    reference, ours = gpu
    pictures = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(3)).cuda()
    pictures = torch.nn.functional.interpolate(pictures, size=(256, 256), mode="bilinear")
    found, expected = (decode(backend.motion(pictures)).transformed() for backend in (ours, reference))
    assert (found - expected).abs().max() < 0.5 / 256


@pytest.mark.gpu
@pytest.mark.timeout(900)
def test_portraits_of_several_sessions_never_mix(gpu):
    reference, ours = gpu
    kept = sources(ours, reference, 3)
    alone = [ours.draw([source], source.keypoints).clone() for source in kept]
    for order in ([0, 1], [2, 0], [1, 2], [2, 2], [0, 1]):
        drawn = ours.draw([kept[i] for i in order], torch.cat([kept[i].keypoints for i in order])).clone()
        for picture, index in zip(drawn, order, strict=True):
            assert psnr(picture.cpu(), alone[index][0].cpu(), peak=1) > 50


@pytest.mark.gpu
@pytest.mark.timeout(900)
def test_ten_thousand_frames_take_no_more_memory_than_ten(gpu):
    reference, ours = gpu
    [source] = sources(ours, reference, 1)

    def memory(frames):
        for _ in range(frames):
            ours.motion(torch.zeros(1, 3, 256, 256, device="cuda"))
            ours.draw([source], source.keypoints)
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated(), torch.cuda.memory_reserved()

    assert memory(10) == memory(10_000)
