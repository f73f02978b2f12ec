import io
import os
import pickle

import numpy as np
import pytest

pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from pipeline.liveportrait.templates import MotionTemplate, TemplateError, load_template, save_template

RANDOM = np.random.default_rng(0)


def array(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


TEMPLATE = MotionTemplate(
    30.0, array(5, 1), array(5, 3, 3), array(5, 21, 3), array(5, 3), c_eyes=array(5, 2), c_lip=array(5, 1)
)


def official(template: MotionTemplate, old: bool = False, **changes) -> dict:
    """As the official pipeline pickles it."""
    frames = [
        {"scale": template.scale[i : i + 1], "R_d" if old else "R": template.R[i : i + 1]}
        | {"exp": template.exp[i : i + 1], "t": template.t[i : i + 1]}
        for i in range(len(template))
    ]
    ratios = {
        "c_d_eyes_lst" if old else "c_eyes_lst": [row[None] for row in template.c_eyes],
        "c_d_lip_lst" if old else "c_lip_lst": [row[None] for row in template.c_lip],
    }
    return {"n_frames": len(template), "output_fps": 30, "motion": frames, **ratios, **changes}


def pickled(path, content):
    path.write_bytes(pickle.dumps(content))
    return path


def same(a: MotionTemplate, b: MotionTemplate) -> bool:
    names = ("scale", "R", "exp", "t", "kp", "x_s", "c_eyes", "c_lip")
    pairs = [(getattr(a, name), getattr(b, name)) for name in names]
    return a.fps == b.fps and all((x is None and y is None) or np.array_equal(x, y) for x, y in pairs)


def test_round_trip(tmp_path):
    save_template(tmp_path / "m.npz", TEMPLATE)
    assert same(load_template(tmp_path / "m.npz"), TEMPLATE)


def test_no_pickle_in_what_is_saved(tmp_path):
    save_template(tmp_path / "m.npz", TEMPLATE)
    with np.load(tmp_path / "m.npz", allow_pickle=False) as archive:
        assert {name: archive[name].dtype.kind for name in archive if archive[name].ndim == 0} == {
            "format": "i",
            "n_frames": "i",
            "output_fps": "f",
        }


@pytest.mark.parametrize("old", [False, True])
def test_official_pickles(tmp_path, old):
    assert same(load_template(pickled(tmp_path / "m.pkl", official(TEMPLATE, old))), TEMPLATE)


def test_pickles_of_older_numpy(tmp_path):
    data = pickle.dumps(official(TEMPLATE), 3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "m.pkl").write_bytes(data)
    assert same(load_template(tmp_path / "m.pkl"), TEMPLATE)


def test_ratios_and_rate_may_be_missing(tmp_path):
    content = official(TEMPLATE)
    for key in ("c_eyes_lst", "c_lip_lst", "output_fps"):
        del content[key]
    template = load_template(pickled(tmp_path / "m.pkl", content))
    assert template.c_eyes is None and template.c_lip is None and template.fps == 25


def test_motion_of_a_template():
    motion = TEMPLATE.motion()
    assert motion.rotation.shape == (5, 3, 3) and motion.keypoints.shape == (5, 21, 3)
    assert np.array_equal(motion.expression.numpy(), TEMPLATE.exp)


class TemplateIntruder:
    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


def test_code_in_a_pickle_does_not_run(tmp_path):
    path = pickled(tmp_path / "m.pkl", official(TEMPLATE, output_fps=TemplateIntruder(tmp_path / "proof")))
    with pytest.raises(TemplateError, match=r"m\.pkl .* asks for posix\.system, which no template needs"):
        load_template(path)
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "no list of frames"),
        ({"motion": 3}, "no list of frames"),
        ({"motion": []}, "scale, R, exp, t is missing"),
        ({"motion": [{}]}, "scale, R, exp, t is missing"),
        (official(TEMPLATE, motion=[{"scale": array(1, 1)}]), "missing"),
        (official(TEMPLATE, output_fps=0), "frame rate is 0"),
        (official(TEMPLATE, c_lip_lst=[array(1, 1)]), r"c_lip has the shape \(1, 1\) instead of \(5, 1\)"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, message):
    with pytest.raises(TemplateError, match=message):
        load_template(pickled(tmp_path / "m.pkl", content))


def test_numbers_that_are_none(tmp_path):
    broken = TEMPLATE.exp.copy()
    broken[2, 3, 1] = np.nan
    frames = official(TEMPLATE)["motion"]
    frames[0]["exp"] = broken[2:3]
    with pytest.raises(TemplateError, match="exp contains values that are not finite numbers"):
        load_template(pickled(tmp_path / "m.pkl", official(TEMPLATE, motion=frames)))


def test_files_that_are_no_templates(tmp_path):
    archive = io.BytesIO()
    np.savez(archive, output_fps=25.0)
    for data in (b"", b"hello", pickle.dumps(official(TEMPLATE))[:-100], archive.getvalue(), archive.getvalue()[:-60]):
        (tmp_path / "m.bin").write_bytes(data)
        with pytest.raises(TemplateError, match=r"m\.bin"):
            load_template(tmp_path / "m.bin")
