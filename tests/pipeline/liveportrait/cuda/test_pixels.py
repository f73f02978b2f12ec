"""Rings, streams and the two kernels: the kernels' own code on this processor, and on a GPU where there is one."""

import gc
import shutil
import sys
import weakref
from itertools import pairwise

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from pipeline.imaging.i420 import to_picture, to_planes  # noqa: E402
from pipeline.liveportrait.crop import Box  # noqa: E402
from pipeline.liveportrait.cuda.device import Gpu, MissingPackage  # noqa: E402
from pipeline.liveportrait.cuda.pixels import KERNELS, CudaPixels  # noqa: E402
from pipeline.liveportrait.cuda.ring import GROWTH, Once, Ring  # noqa: E402
from pipeline.liveportrait.paste import Paster, feather_mask  # noqa: E402
from pipeline.liveportrait.pixels import CropRequest, Finish, HostPixels, NotANumber  # noqa: E402
from tests.support.host_gpu import HostGpu, compiled  # noqa: E402

HOST = HostPixels(torch.device("cpu"))
LEVEL = 1 / 255
SCHEDULES = [(), ("copy_in",), ("copy_out",), ("compute",), ("copy_in", "copy_out")]
FACE = Box(np.array([150.0, 110.0]), 130.0, 0.2)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    if not shutil.which("g++"):
        pytest.skip("g++ is missing")
    return compiled(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(params=SCHEDULES, ids=lambda eager: " ".join(eager) or "lazy")
def gpu(library, request):
    """On it everything happens as late as it may, but on these streams as early."""
    return HostGpu(library, request.param)


@pytest.fixture
def pixels(library):
    return CudaPixels(HostGpu(library, ("compute",)))


def smooth(height, width, seed=0):
    """A picture in all colours, (height, width, 3) RGB."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 24 + 3, width // 24 + 3, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def noise(height, width):
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def crops(count=1, seed=0):
    """(count, 3, 512, 512) float32, a little beyond 0..1."""
    pictures = [smooth(512, 512, seed + index) for index in range(count)]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255 * 1.1 - 0.05


def paster(height=240, width=320, box=FACE):
    return Paster(smooth(height, width, 7), np.linalg.inv(box.matrix()), "cpu")


def difference(found, expected):
    assert found.shape == expected.shape and found.dtype == expected.dtype == np.uint8
    return int(np.abs(found.astype(int) - expected).max())


def alone(size=512, mirror=False, badge=False):
    return Finish(None, size, mirror, badge)


# Rings


class FakeSlot:
    def __init__(self, size):
        self.size, self.settled = size, 0

    def settle(self):
        self.settled += 1


def test_a_ring_uses_its_slots_in_turn_and_settles_them_first():
    ring = Ring(FakeSlot, 3)
    taken = [ring.take(10) for _ in range(7)]
    assert len(set(map(id, taken))) == 3
    assert taken[3] is taken[0] and taken[6] is taken[0] and taken[4] is taken[1]
    assert [slot.settled for slot in taken[:3]] == [2, 1, 1]


def test_a_ring_grows_where_it_is_too_small_and_never_shrinks():
    ring = Ring(FakeSlot, 2)
    sizes = [ring.take(size).size for size in (1, GROWTH, GROWTH + 1, 5, 1, 2)]
    assert sizes == [GROWTH, GROWTH, 2 * GROWTH, GROWTH, 2 * GROWTH, GROWTH]


def test_a_slot_that_is_replaced_is_settled():
    ring = Ring(FakeSlot, 1)
    first = ring.take(1)
    assert ring.take(GROWTH + 1) is not first and first.settled == 1


def test_once_calls_once():
    calls = []
    once = Once(lambda: calls.append(1) or len(calls))
    assert (once(), once(), calls) == (1, 1, [1])


# The way in


@pytest.mark.parametrize("picture", [smooth, noise])
def test_views_are_those_of_the_host(gpu, picture):
    turned, outside = Box(np.array([200.0, 100.0]), 160.0, 0.4), Box(np.array([10.0, 230.0]), 300.0)
    views = [
        CropRequest(picture(241, 319), None, turned.matrix()),
        CropRequest(picture(240, 320), None, outside.matrix()),
    ]
    found = CudaPixels(gpu).upload_crops(views)
    gpu.finish()
    assert (found - HOST.upload_crops(views)).abs().max() <= 1.001 * LEVEL


def test_planes_give_what_the_picture_gives(gpu):
    planes = to_planes(noise(240, 320))
    view = CropRequest(to_picture(planes), planes, FACE.matrix())
    found = CudaPixels(gpu).upload_crops([view])
    gpu.finish()
    assert (found - HOST.upload_crops([view])).abs().max() <= 1.001 * LEVEL


def test_every_colour_of_the_planes_is_opencvs(pixels):
    """Each chroma with some luma; a crop as large as the picture, of which only pixels with one colour are compared."""
    blue, red = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    luma = np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8).repeat(2, 0).repeat(2, 1)
    planes = np.concatenate((luma.reshape(-1), blue.reshape(-1), red.reshape(-1))).reshape(768, 512)
    [found] = pixels.upload_crops([CropRequest(to_picture(planes), planes, np.eye(3))])
    assert (found.permute(1, 2, 0) * 255).round().byte().numpy().tolist() == to_picture(planes)[::2, ::2].tolist()


def test_views_of_several_calls_do_not_mix(gpu):
    pixels = CudaPixels(gpu)
    calls = [[CropRequest(smooth(120, 160, seed), None, FACE.matrix())] for seed in range(5)]
    found = [pixels.upload_crops(views) for views in calls]
    gpu.finish()
    for views, view in zip(calls, found, strict=True):
        assert (view - HOST.upload_crops(views)).abs().max() <= 1.001 * LEVEL


# Numbers


def test_numbers_of_several_calls_do_not_mix(gpu):
    """Each call's values lie where the last one's did, as a backend's do, and are read in any order."""
    pixels, values, source = CudaPixels(gpu), torch.zeros(2, 164), torch.randn(5, 2, 164)
    reads = []
    for new in source:
        gpu.compute.add(lambda new=new: values.copy_(new))
        reads.append(pixels.download(values))
    for index in (4, 1, 0, 3, 2):
        assert torch.equal(reads[index](), source[index])
    assert torch.equal(reads[0](), source[0])


# The way out


@pytest.mark.parametrize("layout", ["rgb", "i420"])
def test_pictures_are_those_of_the_host(gpu, layout):
    finishes = [
        Finish(paster(), 512, mirror=False, badge=True),
        alone(512, mirror=True, badge=True),
        Finish(paster(131, 199, Box(np.array([20.0, 120.0]), 90.0)), 512, mirror=True, badge=True),
        alone(64),
    ]
    drawn = crops(4)
    found = CudaPixels(gpu).compose(drawn, finishes, layout)()
    expected = HOST.compose(drawn, finishes, layout)()
    assert all(difference(*pair) <= 1 for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize("size", [128, 256, 300, 511, 513, 640, 1024])
@pytest.mark.parametrize("layout", ["rgb", "i420"])
def test_a_crop_alone_of_any_size(pixels, size, layout):
    drawn = torch.from_numpy(noise(512, 512)).permute(2, 0, 1)[None] / 255
    finish = alone(size, mirror=True, badge=True)
    assert difference(pixels.compose(drawn, [finish], layout)()[0], HOST.compose(drawn, [finish], layout)()[0]) <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_crops_of_every_type_and_order_are_exact(pixels, dtype, memory):
    drawn = crops(2).to(dtype).to(memory_format=memory)
    drawn[0, 0, 0, :4] = torch.tensor([1e-7, 6e-8, -1e-7, 65504.0], dtype=dtype)
    found, expected = (each.compose(drawn, [alone()] * 2, "rgb")() for each in (pixels, HOST))
    assert np.array_equal(found, expected)


def test_the_mask_is_the_hosts(pixels):
    """White into black: what is seen is the mask itself."""
    black = Paster(np.zeros((512, 512, 3), np.uint8), np.eye(3), "cpu")
    [found] = pixels.compose(torch.ones(1, 3, 512, 512), [Finish(black, 512, False, False)], "rgb")()
    assert np.array_equal(found[..., 0], feather_mask()[0, 0].numpy())


def test_a_portrait_is_untouched_outside_its_crop(pixels):
    pasted = paster()
    [found] = pixels.compose(crops(), [Finish(pasted, 512, False, False)], "rgb")()
    outside = pasted.mask[0, 0].numpy() == 0
    assert np.array_equal(found[outside], pasted.picture[outside]) and outside.any()


def test_pictures_of_several_calls_do_not_mix(gpu):
    """Read late and in any order, each crop overwritten by the next one, of sizes that let the slots grow."""
    pixels, drawn, sources = CudaPixels(gpu), torch.zeros(1, 3, 512, 512), crops(4)
    finishes = [[alone(size)] for size in (64, 640, 128, 700)]
    reads = []
    for source, finish in zip(sources, finishes, strict=True):
        gpu.compute.add(lambda source=source: drawn.copy_(source[None]))
        reads.append(pixels.compose(drawn, finish, "rgb"))
    for index in (2, 0, 3, 1):
        [found], [expected] = reads[index](), HOST.compose(sources[index][None], finishes[index], "rgb")()
        assert difference(found, expected) <= 1


def test_portraits_of_several_calls_do_not_mix(gpu):
    """Each call brings two portraits, which go up by the same ring as the calls' own tables."""
    pixels, drawn = CudaPixels(gpu), crops(2)
    calls = [[Finish(paster(96 + 8 * i, 120, FACE), 512, False, True) for i in (2 * k, 2 * k + 1)] for k in range(3)]
    reads = [pixels.compose(drawn, finishes, "rgb") for finishes in calls]
    for finishes, read in zip(calls, reads, strict=True):
        expected = HOST.compose(drawn, finishes, "rgb")()
        assert all(difference(*pair) <= 1 for pair in zip(read(), expected, strict=True))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_crop_without_numbers_is_an_error_of_its_own_call_only(pixels, value, dtype):
    bad, finish = crops(2).to(dtype), [alone(64), alone(64)]
    bad[1, 2, 511, 510] = value
    reads = [pixels.compose(each, finish, "rgb") for each in (crops(2), bad, crops(2), crops(2))]
    with pytest.raises(NotANumber, match=r"run\.py weights verify"):
        reads[1]()
    assert all(len(read()) == 2 for read in (reads[0], reads[2], reads[3]))


def test_portraits_are_sent_once_and_forgotten_with_their_paster(pixels):
    pasted = paster()
    finish, gone = Finish(pasted, 512, False, True), weakref.ref(pasted)
    first = pixels.compose(crops(), [finish], "rgb")()[0]
    kept = pixels._constants[pasted]
    assert np.array_equal(pixels.compose(crops(), [finish], "rgb")()[0], first)
    assert pixels._constants[pasted] is kept
    del pasted, finish
    gc.collect()
    assert gone() is None and len(pixels._constants) == 1  # the badge's label


def test_buffers_are_allocated_once(library):
    gpu = HostGpu(library, ("compute",))
    pixels, finishes = CudaPixels(gpu), [alone(128, badge=True)]
    views, drawn, allocated = [CropRequest(smooth(64, 64), None, np.eye(3))], crops(), []
    for _ in range(4):
        pixels.upload_crops(views)
        pixels.download(torch.zeros(328))()
        pixels.compose(drawn, finishes, "i420")()
        allocated.append(gpu.allocated)
    assert allocated[1:] == [8 * GROWTH] * 3


# On a GPU


def test_the_kernels_compile_for_every_gpu_that_we_name():
    core = pytest.importorskip("cuda.core", reason="cuda-python is missing")
    for architecture in ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90"):
        options = core.ProgramOptions(std="c++17", arch=architecture)
        try:
            cubin = core.Program(KERNELS.read_text(), "c++", options).compile("cubin")
        except RuntimeError as error:
            pytest.skip(f"NVRTC is missing ({error})")
        assert b"upload_crops" in cubin.code and b"compose" in cubin.code


def test_a_missing_package_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda", None)
    with pytest.raises(MissingPackage, match=r"`pip install cuda-python==[\d.]+` installs it\."):
        Gpu(torch.device("cuda"), KERNELS)


@pytest.fixture
def cuda_pixels():
    pytest.importorskip("cuda.core", reason="cuda-python is missing")
    return CudaPixels(Gpu(torch.device("cuda"), KERNELS))


@pytest.mark.gpu
def test_views_on_a_gpu_are_those_of_the_host(cuda_pixels):
    planes = to_planes(noise(720, 1280))
    views = [CropRequest(to_picture(planes), planes, FACE.matrix()), CropRequest(noise(241, 319), None, FACE.matrix())]
    assert (cuda_pixels.upload_crops(views).cpu() - HOST.upload_crops(views)).abs().max() <= 2.001 * LEVEL


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("layout", ["rgb", "i420"])
def test_pictures_on_a_gpu_are_those_of_the_host(cuda_pixels, dtype, layout):
    finishes = [Finish(paster(), 512, True, True), *(alone(size, badge=True) for size in (512, 300, 640))]
    drawn = crops(4).to(dtype)
    found = cuda_pixels.compose(drawn.cuda(), finishes, layout)()
    expected = HOST.compose(drawn, finishes, layout)()
    assert all(difference(*pair) <= 2 for pair in zip(found, expected, strict=True))


@pytest.mark.gpu
def test_results_on_a_gpu_do_not_change_with_the_next_call(cuda_pixels):
    """On PyTorch's default stream and on another one, each call's crop where the last one's was."""
    sources, drawn = crops(6).cuda(), torch.empty(1, 3, 512, 512, device="cuda")
    for stream in (torch.cuda.current_stream(), torch.cuda.Stream()):
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            reads, numbers = [], []
            for source in sources:
                drawn.copy_(source[None])
                reads.append(cuda_pixels.compose(drawn, [alone()], "rgb"))
                numbers.append(cuda_pixels.download(drawn[0, 0, 0, :328]))
        for source, read, number in zip(sources.cpu(), reads, numbers, strict=True):
            assert np.array_equal(read()[0], HOST.compose(source[None], [alone()], "rgb")()[0])
            assert torch.equal(number(), source[0, 0, :328])


@pytest.mark.gpu
def test_ten_thousand_transfers_take_no_more_memory(cuda_pixels):
    views, drawn = [CropRequest(smooth(480, 640), None, FACE.matrix())], crops().cuda()
    finishes, sizes = [Finish(paster(), 512, True, True)], []
    for index in range(10_000):
        cuda_pixels.upload_crops(views)
        cuda_pixels.download(drawn[0, 0, 0])()
        cuda_pixels.compose(drawn, finishes, "i420")()
        if index % 1000 == 999:
            sizes.append((torch.cuda.memory_allocated(), torch.cuda.memory_reserved()))
    assert all(before == after for before, after in pairwise(sizes[1:]))
