"""The networks and the mathematics against vectors of the official ones, with stand-in weights of seed 0.

The data are the specification's, thinned: about 600 values of a tensor and, over all of its values, six statistics.
"""

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from tests.tools.check_vectors import INPUT_PREFIXES, INPUTS, StoredReference, check  # noqa: E402

DATA = Path(__file__).parents[2] / "data"
VECTORS = dict(np.load(DATA / "liveportrait_vectors.npz"))
MATH = dict(np.load(DATA / "liveportrait_math.npz"))
REFERENCE = StoredReference(VECTORS, json.loads((DATA / "liveportrait_tolerances.json").read_text()))
CASES = {name for name in MATH if name not in INPUTS and not name.startswith(INPUT_PREFIXES)}

pytestmark = pytest.mark.timeout(900)  # half a minute where nothing else runs


@pytest.fixture(scope="module")
def ratios(stand_in_networks) -> dict[str, float]:
    with torch.inference_mode():
        return dict(check(stand_in_networks, REFERENCE, MATH))


def test_everything_is_checked(ratios):
    assert ratios.keys() == REFERENCE.names | CASES | {"rotation/R", "transform/x", "motion/source_x"}


@pytest.mark.parametrize("name", sorted(REFERENCE.names))
def test_tensor(ratios, name):
    assert ratios[name] <= 1


@pytest.mark.parametrize("name", sorted(CASES))
def test_mathematics(ratios, name):
    assert ratios[name] <= 1


def test_reference_notices_a_single_wrong_value():
    value = torch.from_numpy(VECTORS["M/source.raw_pitch"].copy())
    assert REFERENCE.ratio("M/source.raw_pitch", value) == 0
    value[0, 7] += 1e-3
    assert REFERENCE.ratio("M/source.raw_pitch", value) > 1
    assert REFERENCE.ratio("M/source.raw_pitch", value[:, :60]) == np.inf
    assert REFERENCE.ratio("M/source.raw_pitch", value * torch.nan) == np.inf
