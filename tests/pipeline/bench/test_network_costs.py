import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from pipeline.bench.network_costs import _as, _error  # noqa: E402
from pipeline.liveportrait.checkpoint import FILES  # noqa: E402
from tests.support.stand_in_weights import stand_in  # noqa: E402


def test_the_error_of_a_result():
    error = _error("x", torch.tensor([1.0, 2.0, 4.5, 4.0]).half(), torch.tensor([1.0, 2.0, 4.0, 4.0]))
    assert (error.largest, error.mean, error.span) == (0.5, 0.125, 4.0)
    assert error.psnr == pytest.approx(24.0824)


def test_no_error():
    assert _error("x", torch.ones(3), torch.ones(3)).psnr is None


@torch.inference_mode()
def test_bfloat16_runs_and_leaves_the_network_as_it_was():
    (part,) = FILES["appearance_feature_extractor"]
    with torch.device("meta"):
        network = part.build().eval()
    network.load_state_dict(stand_in(part, 0), assign=True)
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    exact = network(picture)
    error = _error("F", _as(network, torch.bfloat16)(picture.bfloat16()), exact)
    assert 0 < error.largest < 0.03 * error.span and error.psnr > 50
    assert torch.equal(network(picture), exact)
