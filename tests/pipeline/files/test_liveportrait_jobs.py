"""`run.py animate --animator liveportrait`, file to file, with tiny networks."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LivePortrait needs PyTorch")

from PIL import Image  # noqa: E402

import run  # noqa: E402
from pipeline import load_liveportrait  # noqa: E402
from pipeline.files.video import VideoReader  # noqa: E402
from pipeline.imaging.source_picture import BUILTIN  # noqa: E402
from pipeline.liveportrait.templates import MotionTemplate, load_template, save_template  # noqa: E402
from pipeline.models.liveportrait_hub import HUMAN  # noqa: E402
from tests.support.clips import gradient, write_clip  # noqa: E402
from tests.support.tiny_liveportrait import tiny_networks  # noqa: E402

PORTRAIT = str(BUILTIN["astronaut"])


@pytest.fixture(autouse=True)
def weights(tmp_path_factory, monkeypatch):
    """A folder with all files, which become the tiny networks; the working folder is an empty one."""
    monkeypatch.setattr(load_liveportrait, "load_networks", lambda folder, cache: tiny_networks())
    folder = tmp_path_factory.mktemp("weights")
    for file in HUMAN.files:
        (folder / f"{file.name}.pth").touch()
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))
    return folder


@pytest.fixture
def animate(weights, capsys):
    """Run the command; its exit code and what it said."""

    def call(words):
        arguments = f"animate --animator liveportrait --backend eager --weights {weights} {words}".split()
        return run.main(arguments), capsys.readouterr()

    return call


def clip(name, astronaut, levels=(0, 20, 40), **options):
    """The astronaut, darker from frame to frame."""
    return write_clip(name, [np.clip(astronaut.astype(int) - level, 0, 255).astype(np.uint8) for level in levels])


@pytest.fixture
def video(tmp_path, astronaut):
    return clip(tmp_path / "d.mp4", astronaut)


def pictures(path):
    with VideoReader(path) as video:
        return [frame.picture for frame in video]


def test_a_video_drives_a_picture_and_its_motion_is_kept(animate, video, tmp_path):
    output, motion = tmp_path / "o.mp4", tmp_path / "m.npz"
    code, said = animate(
        f"--source {PORTRAIT} --driving {video} --output {output} --save-motion {motion} --json {tmp_path / 'r.json'} "
        "--set driver_mouth=true"
    )
    assert code == 0 and "Note: driver_mouth has no effect with liveportrait." in said.out
    assert "stand-in weights" in said.err
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["frames"] == 3 and report["animator"] == "liveportrait" and "stand-in" in report["reason"]
    assert [picture.shape for picture in pictures(output)] == [(512, 512, 3)] * 3
    template = load_template(motion)
    assert (len(template), template.fps) == (3, 25.0)
    assert template.t[0, 0] > template.t[1, 0] > template.t[2, 0] and template.c_eyes.min() > 0.1
    assert np.allclose(template.x_s[:, :, 2], template.kp[:, :, 2])

    again = tmp_path / "again.mp4"
    assert animate(f"--source {PORTRAIT} --motion {motion} --output {again}")[0] == 0
    for one, other in zip(pictures(output), pictures(again), strict=True):  # the neutral is another frame
        assert np.abs(one.astype(int) - other)[100:200].mean() < 12


def test_the_crop_alone(animate, video, tmp_path):
    words = f"--source {PORTRAIT} --driving {video} --output {tmp_path / 'o.mp4'} --set paste_back=false --size 128"
    assert animate(words)[0] == 0
    assert [picture.shape for picture in pictures(tmp_path / "o.mp4")] == [(128, 128, 3)] * 3


def test_a_picture_drives_a_picture(animate, tmp_path):
    output = tmp_path / "o.png"
    assert animate(f"--source {PORTRAIT} --driving {PORTRAIT} --output {output}")[0] == 0
    with Image.open(output) as image:
        assert image.size == (512, 512) and image.getexif()[0x010E].startswith("AI-generated")


@pytest.mark.parametrize("driver", ["video", "picture", "motion"])
def test_a_source_video(animate, video, astronaut, tmp_path, driver):
    source, output = clip(tmp_path / "s.mp4", astronaut, (0, 5)), tmp_path / "o.mp4"
    save_template(tmp_path / "m.npz", template(5))
    words = {"video": f"--driving {video}", "picture": f"--driving {PORTRAIT}", "motion": f"--motion {tmp_path}/m.npz"}
    code, said = animate(f"--source {source} {words[driver]} --output {output}")
    assert code == 0, said.err
    assert len(pictures(output)) == 2  # as long as the shorter


def template(frames, **more):
    eye = np.tile(np.eye(3, dtype=np.float32), (frames, 1, 1))
    shapes = {"scale": (1,), "exp": (21, 3), "t": (3,)}
    arrays = {name: np.ones((frames, *shape), np.float32) for name, shape in shapes.items()}
    return MotionTemplate(30000 / 1001, R=eye, **arrays, **more)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--motion none.npz --output o.mp4", "none.npz: No such file or directory."),
        ("--motion bare.npz --output o.mp4 --set eye_retargeting=true", "has no eye and lip ratios"),
        (f"--driving {PORTRAIT} --output o.mp4", "name the output .png or .jpg"),
        (f"--driving {PORTRAIT} --output o.png --save-motion m.npz", "--save-motion needs a video in --driving"),
        (
            "--driving empty.mp4 --output o.mp4 --save-motion no/m.npz",
            "no/m.npz: the folder for --save-motion does not exist",
        ),
        ("--driving none.mp4 --output o.mp4", "There is no file none.mp4"),
        ("--driving bare.npz --output o.png", "is not a picture that can be read"),
        ("--driving empty.mp4 --output o.mp4", "No face was found in empty.mp4"),
        ("--motion bare.npz --output o.mp4 --set region=nose", "region must be one of all, exp, pose, lip, eyes"),
    ],
)
def test_says_what_is_wrong(animate, words, sentence, tmp_path):
    from pathlib import Path

    save_template(Path("bare.npz"), template(2))
    write_clip(Path("empty.mp4"), [gradient(64, 48, i) for i in range(3)])
    code, said = animate(f"--source {PORTRAIT} {words}")
    assert code == 1 and sentence in said.err and "Traceback" not in said.err
    assert sorted(path.name for path in Path().iterdir()) == ["bare.npz", "empty.mp4"]


def test_the_frame_rate_of_a_template(animate, tmp_path):
    save_template(tmp_path / "m.npz", template(3))
    assert animate(f"--source {PORTRAIT} --motion {tmp_path}/m.npz --output {tmp_path}/o.mp4")[0] == 0
    with VideoReader(tmp_path / "o.mp4") as video:
        assert float(video.rate) == pytest.approx(29.97, abs=0.01)


def test_meshwarp_has_no_recorded_motion(tmp_path, capsys):
    words = f"animate --animator meshwarp --source {PORTRAIT} --motion m.npz --output {tmp_path / 'o.mp4'}"
    assert run.main(words.split()) == 1
    assert "--motion needs --animator liveportrait" in capsys.readouterr().err


def test_networks_one_by_one(weights, capsys, tmp_path):
    words = f"benchmark --precision-table --weights {weights} --json {tmp_path / 'r.json'}"
    assert run.main(words.split()) == 0
    table = capsys.readouterr().out
    assert "stand-in weights" in table and "| bfloat16 against float32 " in table
    report = json.loads((tmp_path / "r.json").read_text())
    names = [cost["network"] for cost in report["costs"] if cost["dtype"] == "float32"]
    assert names == ["appearance extractor", "motion extractor", "stitching", "warping", "generator"]
    assert [error["result"] for error in report["errors"]["bfloat16"]][-1] == "all: picture"
