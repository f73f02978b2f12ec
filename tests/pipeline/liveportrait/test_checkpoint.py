import os
import pickle

import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from safetensors.torch import load_file, save_file  # noqa: E402

from pipeline.liveportrait import checkpoint  # noqa: E402
from pipeline.liveportrait.checkpoint import FILES, find, read_networks  # noqa: E402
from pipeline.liveportrait.networks.layers import SpectralConv2d, fold  # noqa: E402
from pipeline.models.store import WeightsError  # noqa: E402
from tests.support.stand_in_weights import stand_in, stand_in_files  # noqa: E402

APPEARANCE = FILES["appearance_feature_extractor"]
SMALL = FILES["stitching_retargeting_module"]


@pytest.fixture(scope="module")
def state():
    return stand_in(APPEARANCE[0], 0)


@pytest.fixture(scope="module")
def nested():
    prefixes = [part.prefixes[0].split(".")[0] for part in SMALL]
    states = [stand_in(part, 0) for part in SMALL]
    return {prefix: {f"module.{k}": v for k, v in s.items()} for prefix, s in zip(prefixes, states, strict=True)}


def saved(path, content):
    torch.save(content, path)
    return path


def test_reads_what_was_saved(tmp_path, state):
    network = read_networks(saved(tmp_path / "a.pth", state), APPEARANCE)["appearance"]
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())


def test_safetensors_are_the_same_as_pth(tmp_path, state):
    save_file(state, tmp_path / "a.safetensors")
    network = read_networks(tmp_path / "a.safetensors", APPEARANCE)["appearance"]
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_batch_counters_may_be_left_out(tmp_path, state):
    kept = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    read_networks(saved(tmp_path / "a.pth", kept), APPEARANCE)


def test_nested_file_with_surplus_entries(tmp_path, nested):
    surplus = {**nested, "optimizer": {"state": {0: {"step": 3, "average": torch.zeros(2)}}, "name": "Adam"}}
    networks = read_networks(saved(tmp_path / "s.pth", surplus), SMALL)
    assert networks.keys() == {"stitching", "lip", "eye"}
    assert torch.equal(networks["lip"].mlp[0].weight, nested["retarget_mouth"]["module.mlp.0.weight"])


def test_flattened_conversion_of_the_nested_file(tmp_path, nested):
    flat = {f"{outer}_{key}": value for outer, inner in nested.items() for key, value in inner.items()}
    save_file(flat, tmp_path / "s.safetensors")
    networks = read_networks(tmp_path / "s.safetensors", SMALL)
    assert torch.equal(networks["eye"].mlp[10].bias, nested["retarget_eye"]["module.mlp.10.bias"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("second.bias"), "second.bias is missing"),
        (lambda s: s.update({"second.gain": torch.zeros(1)}), "second.gain is unknown"),
        (
            lambda s: s.update({"second.bias": torch.zeros(511)}),
            r"second.bias is float32 \[511\] instead of float32 \[512\]",
        ),
        (lambda s: s.update({"second.bias": torch.zeros(512).half()}), "float16"),
        (lambda s: s.clear(), r"first\.conv\.weight is missing.* and 87 more"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(tmp_path, state, change, message):
    changed = dict(state)
    change(changed)
    with pytest.raises(WeightsError, match=message) as caught:
        read_networks(saved(tmp_path / "a.pth", changed), APPEARANCE)
    assert "a.pth" in str(caught.value)


def test_a_missing_network_in_the_nested_file_is_named(tmp_path, nested):
    without = {key: value for key, value in nested.items() if key != "retarget_eye"}
    with pytest.raises(WeightsError, match=r"eye network: mlp\.0\.weight is missing"):
        read_networks(saved(tmp_path / "s.pth", without), SMALL)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_file_cut_short(tmp_path, state, name, share):
    path = tmp_path / name
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(WeightsError, match=name):
        read_networks(path, APPEARANCE)


class Intruder:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, 2))])
def test_code_in_a_checkpoint_does_not_run(tmp_path, state, save):
    proof = tmp_path / "proof"
    path = tmp_path / "a.pth"
    save({**state, "first.conv.weight": Intruder(f"touch {proof}")}, path)
    with pytest.raises(WeightsError, match=r"a\.pth holds more than tensors .* Nothing in it was executed"):
        read_networks(path, APPEARANCE)
    assert not proof.exists()


def test_a_checkpoint_that_is_no_mapping(tmp_path):
    with pytest.raises(WeightsError, match=r"first\.conv\.weight is missing"):
        read_networks(saved(tmp_path / "a.pth", [torch.zeros(3)]), APPEARANCE)


@pytest.mark.parametrize(
    "place",
    ["liveportrait/base_models/warping_module.pth", "base_models/warping_module.pth", "warping_module.safetensors"],
)
def test_layouts(tmp_path, place):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert find(tmp_path, "warping_module") == path


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"no warping_module\.pth"):
        find(tmp_path, "warping_module")


@pytest.fixture
def small_files(tmp_path, monkeypatch):
    """A folder of weights that has only the small networks, and a product that needs no others."""
    names = ("appearance_feature_extractor", "stitching_retargeting_module")
    monkeypatch.setattr(checkpoint, "FILES", {name: FILES[name] for name in names})
    monkeypatch.setattr(checkpoint, "Networks", dict)
    for path, content in stand_in_files(0, names):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, tmp_path / path)
    return tmp_path


def test_the_cache_is_folded_and_gives_the_same(small_files, state):
    picture = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    plain = read_networks(find(small_files, "appearance_feature_extractor"), APPEARANCE)["appearance"]
    first = checkpoint.load_networks(small_files, small_files / "cache")
    again = checkpoint.load_networks(small_files, small_files / "cache")
    cached = load_file(next((small_files / "cache").glob("appearance*")))
    assert "appearance.first.conv.weight" in cached and not any("first.norm" in key for key in cached)
    with torch.inference_mode():
        expected, found = plain(picture), first["appearance"](picture)
        assert torch.equal(found, again["appearance"](picture))
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_cache_is_keyed_by_content(small_files):
    checkpoint.load_networks(small_files, small_files / "cache")
    path = find(small_files, "appearance_feature_extractor")
    torch.save(stand_in(APPEARANCE[0], 1), path)
    changed = checkpoint.load_networks(small_files, small_files / "cache")["appearance"]
    assert torch.equal(changed.second.bias, stand_in(APPEARANCE[0], 1)["second.bias"])


def test_a_damaged_cache_is_named(small_files):
    checkpoint.load_networks(small_files, small_files / "cache")
    for path in (small_files / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="damaged; delete it"):
        checkpoint.load_networks(small_files, small_files / "cache")


def test_a_cache_that_cannot_be_written(small_files):
    (small_files / "cache").write_text("a file")
    with pytest.raises(WeightsError, match="PUPPET_CACHE"):
        checkpoint.load_networks(small_files, small_files / "cache")


def test_spectral_norm_divides_by_the_largest_singular_value():
    conv = SpectralConv2d(3, 4, 3)
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    left, values, right = torch.linalg.svd(weight.flatten(1))
    conv.load_state_dict({"bias": torch.zeros(4), "weight_orig": weight, "weight_u": left[:, 0], "weight_v": right[0]})
    network = fold(torch.nn.Sequential(conv))
    assert torch.allclose(network[0].weight, weight / values[0], atol=1e-6)
    x = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(network(x), conv(x), atol=1e-6)
