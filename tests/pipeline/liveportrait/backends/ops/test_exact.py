import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from pipeline.liveportrait.backends.ops import fold as folding
from pipeline.liveportrait.backends.ops import warp
from pipeline.liveportrait.backends.ops.exact_generator import ExactGenerator, UpBlock, normalized
from pipeline.liveportrait.backends.ops.exact_warping import ExactHourglass, ExactWarping, Occlusion, WarpSource
from pipeline.liveportrait.backends.ops.fourier import FourierConv3d
from pipeline.liveportrait.networks.generator import SpadeBlock, SpadeGenerator
from pipeline.liveportrait.networks.layers import SpectralConv2d, fold, sample
from pipeline.liveportrait.networks.warping import (
    WarpingNetwork,
    candidate_shifts,
    deform,
    heatmaps,
    identity_grid,
    sparse_motions,
)


@pytest.fixture(autouse=True)
def without_gradients():
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def drawn(network):
    """The network with weights for activations of order one, folded."""
    for module in network.modules():
        if isinstance(module, SpectralConv2d):
            nn.init.normal_(module.weight_orig, std=module.weight_orig[0].numel() ** -0.5)
            for vector in (module.weight_u, module.weight_v):
                nn.init.constant_(vector, len(vector) ** -0.5)
            left = functional.normalize(module.weight_orig.flatten(1) @ module.weight_v, dim=0)
            module.weight_u.copy_(left)
            module.weight_v.copy_(functional.normalize(module.weight_orig.flatten(1).T @ left, dim=0))
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.05, 0.15)
    return fold(network)


def keypoints(count=1):
    source = torch.rand(count, 21, 3) * 1.6 - 0.8
    return source, source + torch.randn(count, 21, 3) * 0.1


def assert_near(result, expected, error):
    assert result.shape == expected.shape
    assert (result - expected).abs().max().item() < error


@pytest.fixture(scope="module")
def warping():
    torch.manual_seed(1)
    with torch.inference_mode():
        return drawn(WarpingNetwork())


@pytest.mark.parametrize("size", [(16, 8, 8), (3, 4, 6)])
def test_candidates_are_the_networks_hourglass_input(size):
    compressed, (source, driving) = torch.randn(2, 4, *size), keypoints(2)
    driving[0] += 3  # all of it from outside
    grid, shifts = identity_grid(compressed), candidate_shifts(driving, source)
    moved = deform(compressed, sparse_motions(grid, shifts))
    expected = torch.cat((heatmaps(grid, driving, source), moved), 2).flatten(1, 2)
    result = warp.candidates(compressed, driving, source)
    assert_near(result[:, :110], expected, 5e-6)
    assert result.shape[1] == 112 and not result[:, 110:].any() and not result[:, 0].any()
    assert warp.candidates(compressed.bfloat16(), driving, source).dtype == torch.bfloat16


def test_warp_is_the_softmax_of_places_and_a_sampling():
    logits, feature, (source, driving) = torch.randn(2, 24, 4, 6, 5) * 3, torch.randn(2, 8, 4, 6, 5), keypoints(2)
    shifts = candidate_shifts(driving, source)
    motions = sparse_motions(identity_grid(feature), shifts)
    places = (logits[:, :22].softmax(1)[..., None] * motions).sum(1)
    expected = sample(feature, places)
    result = warp.warp(logits, shifts, feature).reshape(2, 4, 8, 6, 5).transpose(1, 2)
    assert_near(result, expected, 1e-5)
    assert warp.warp(logits.half(), shifts, feature).dtype == torch.float16


@pytest.mark.parametrize("factors", [(2, 2), (4, 4), (1, 2, 2)])
def test_a_convolution_after_upsampling_is_a_transposed_one(factors):
    conv = (nn.Conv2d if len(factors) == 2 else nn.Conv3d)(6, 5, 3, padding=1)
    x = torch.randn(2, 6, *(3, 7, 5)[-len(factors) :])
    expected = conv(functional.interpolate(x, scale_factor=[float(factor) for factor in factors]))
    assert_near(folding.after_upsampling(conv, *factors)(x), expected, 2e-6)


def test_convolutions_of_one_map_are_one():
    convs = [nn.Conv2d(6, 5, 3, padding=1), nn.Conv2d(6, 2, 3, padding=1, bias=False)]
    x = torch.randn(2, 6, 4, 4)
    assert_near(folding.merged(convs)(x), torch.cat([conv(x) for conv in convs], 1), 1e-6)


def test_padding_ignores_what_it_did_not_know_and_adds_zeros():
    conv, x = nn.Conv3d(6, 5, 3, padding=1), torch.randn(1, 8, 3, 4, 4)
    result = folding.padded(conv, 8, 7)(x)
    assert_near(result[:, :5], conv(x[:, :6]), 1e-6)
    assert not result[:, 5:].any()


@pytest.mark.parametrize(("size", "tile"), [(8, 8), (8, 4), (12, 4)])
def test_spectral_convolution(size, tile):
    conv = nn.Conv3d(5, 3, 7, padding=3)
    x = torch.randn(2, 5, 6, size, size).to(memory_format=torch.channels_last_3d)
    assert_near(FourierConv3d(conv, size, tile)(x), conv(x), 2e-6)
    assert_near(FourierConv3d(conv, size, tile).bfloat16()(x.bfloat16()), conv(x), 0.02)


def test_spectral_convolution_of_few_taps_and_a_shallow_volume():
    conv, x = nn.Conv3d(2, 3, 3, padding=1), torch.randn(1, 2, 1, 8, 8)
    assert_near(FourierConv3d(conv, 8, 8)(x), conv(x), 2e-6)


def test_normalization_is_instance_norm_and_survives_a_large_mean():
    x = torch.randn(2, 5, 16, 16)
    assert_near(normalized(x), functional.instance_norm(x), 2e-6)
    exact = functional.instance_norm(x.double() * 0.1 + 100).float()
    assert_near(normalized(x * 0.1 + 100), exact, 2e-3)


@pytest.mark.parametrize(("inputs", "outputs", "factor"), [(16, 8, 2), (8, 4, 4)])
def test_an_upsampling_block(inputs, outputs, factor):
    block = drawn(SpadeBlock(inputs, outputs))
    condition, x = torch.randn(2, 256, 4, 6), torch.randn(2, inputs, 2 * factor, 3 * factor)
    expected = block(functional.interpolate(x, scale_factor=2.0), condition)
    assert_near(UpBlock(block, factor)(x, condition), expected, 2e-5)


def test_the_generator():
    """On maps of 8x8 instead of 64x64, of two different frames."""
    generator, feature = drawn(SpadeGenerator()), torch.randn(2, 256, 8, 8)
    before = copy.deepcopy(feature)
    assert_near(ExactGenerator(generator)(feature), generator(feature), 2e-5)
    assert torch.equal(feature, before)


def test_occlusion():
    conv, x = nn.Conv2d(5 * 16, 1, 7, padding=3), torch.randn(2, 7, 16, 9, 6)
    expected = torch.sigmoid(conv(x[:, :5].flatten(1, 2)))
    assert_near(Occlusion(conv, 7)(x), expected, 1e-6)


def test_the_hourglass(warping):
    plain = warping.dense_motion_network.hourglass
    x = torch.randn(1, 112, 2, 32, 32)
    result = ExactHourglass(plain)(x)
    assert_near(result[:, :142], plain(x[:, :110]), 2e-5)
    assert not result[:, 142:].any()


def test_the_warping_network_with_either_mask(warping):
    """On maps of 32x32 instead of 64x64: in a batch of two portraits, each prepared alone."""
    features, (source, driving) = torch.randn(2, 32, 16, 32, 32), keypoints(2)
    expected = warping(features, driving, source).feature
    for mask in (None, lambda conv: FourierConv3d(conv, 32, 16)):
        exact = ExactWarping(warping, mask) if mask else ExactWarping(warping)
        each = [exact.prepare(f, k) for f, k in zip(features.split(1), source.split(1), strict=True)]
        batch = WarpSource(*(torch.cat(tensors) for tensors in zip(*each, strict=True)))
        assert_near(exact(batch, driving), expected, 5e-5)


def test_in_bfloat16_coordinates_stay_float32(warping):
    feature, (source, driving) = torch.randn(1, 32, 16, 32, 32), keypoints()
    exact = ExactWarping(warping).bfloat16()
    result = exact(exact.prepare(feature, source), driving)
    expected = warping(feature, driving, source).feature
    assert result.dtype == torch.bfloat16
    assert (result - expected).square().mean().sqrt() < 0.02 * expected.std()


def test_both_are_one_graph_without_breaks(warping):
    """torch.compile(fullgraph=True) accepts them; the eager backend runs what was traced."""
    exact, (source, driving) = ExactWarping(warping), keypoints()
    prepared = exact.prepare(torch.randn(1, 32, 16, 32, 32), source)
    traced = torch.compile(exact, fullgraph=True, backend="eager")
    assert_near(traced(prepared, driving), exact(prepared, driving), 1e-5)
    up, condition, x = UpBlock(drawn(SpadeBlock(8, 4)), 2), torch.randn(1, 256, 4, 4), torch.randn(1, 8, 4, 4)
    traced = torch.compile(up, fullgraph=True, backend="eager")
    assert_near(traced(x, condition), up(x, condition), 1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_on_a_gpu_both_agree_with_the_plain_networks(warping, dtype):
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    features, (source, driving) = torch.randn(2, 32, 16, 64, 64), keypoints(2)
    features, source, driving = (tensor.cuda() for tensor in (features, source, driving))
    plain, generator = copy.deepcopy(warping).cuda(), drawn(SpadeGenerator()).cuda()
    expected = plain(features, driving, source).feature
    exact, drawer = ExactWarping(plain).to("cuda", dtype), ExactGenerator(generator).to("cuda", dtype)
    result = exact(exact.prepare(features, source), driving)
    error = {torch.float32: 1e-4, torch.float16: 0.01, torch.bfloat16: 0.05}[dtype]
    assert (result - expected).square().mean().sqrt() < error * expected.std()
    picture = drawer(expected.to(dtype)) - generator(expected)
    assert picture.square().mean().sqrt() < error
