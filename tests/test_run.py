from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

import run
from pipeline.imaging.source_picture import BUILTIN
from realtime.webrtc.settings import MediaSettings
from tests.support.clips import gradient, write_clip
from web.core.settings import Settings

PORTRAIT = str(BUILTIN["astronaut"])


@pytest.fixture
def served(monkeypatch):
    """The settings that `serve` was called with."""
    calls = []
    monkeypatch.setitem(
        sys.modules, "web.serve", SimpleNamespace(serve=lambda settings, progress: calls.append(settings))
    )
    interval = sys.getswitchinterval()
    yield calls
    sys.setswitchinterval(interval)


def raising(monkeypatch, error):
    def serve(settings, progress):
        raise error

    monkeypatch.setitem(sys.modules, "web.serve", SimpleNamespace(serve=serve))


@pytest.mark.parametrize("words", [[], ["serve"]])
def test_serves_by_default_with_the_settings_defaults(served, words):
    assert run.main(words) == 0
    assert served == [Settings()]


def test_every_setting_can_be_given(served, tmp_path):
    words = (
        f"--host 0.0.0.0 --port 8000 --animator meshwarp --source {tmp_path} --size 256 --max-sessions 2 "
        "--media-address 192.0.2.1 --media-ports 40000-40100 --ice-server stun:a stun:b --ice-server stun:c "
        "--driver whip --whip-token word --advertise-address 203.0.113.7 "
        "--password secret --ssl-certfile c.pem --ssl-keyfile k.pem --allow-origin https://a.example"
    )
    assert run.main(words.split()) == 0
    (settings,) = served
    assert (settings.host, settings.port, settings.animator, settings.source) == ("0.0.0.0", 8000, "meshwarp", tmp_path)
    assert settings.media == MediaSettings(
        "192.0.2.1", (40000, 40100), ("stun:a", "stun:b", "stun:c"), advertise="203.0.113.7"
    )
    assert (settings.driver, settings.whip_token) == ("whip", "word")
    assert (settings.size, settings.max_sessions, settings.password) == (256, 2, "secret")
    assert settings.allow_origins == ("https://a.example",)
    assert [path.name for path in (settings.ssl_certfile, settings.ssl_keyfile)] == ["c.pem", "k.pem"]


def test_a_single_media_port_is_for_all(served):
    run.main(["--media-ports", "40000"])
    assert served[0].media == MediaSettings(ports=(40000, 40000))


@pytest.mark.parametrize(
    ("host", "address"), [("192.0.2.7", "192.0.2.7"), ("::1", "::1"), ("0.0.0.0", "127.0.0.1"), ("box", "127.0.0.1")]
)
def test_media_goes_where_the_page_is(served, host, address):
    assert run.main(["--host", host]) == 0
    assert served[0].media.address == address


def test_media_settings_that_cannot_be_meant_are_a_sentence(served, capsys):
    assert run.main(["--ice-server", "http://a"]) == 1
    assert capsys.readouterr().err.startswith("An ICE server begins with stun:")


@pytest.mark.parametrize(
    "words",
    [
        "--port 70000",
        "--port x",
        "--media-ports x",
        "--media-ports 40000-",
        "--driver camera",
        "--media-ports 9-5",
        "--size 7",
        "--max-sessions 0",
        "--animator cartoon",
        "animat",
        "animate",
        "weights",
        "weights steal",
        "weights fetch all",
        "animate --source a --output b",
        "animate --source a --output b --driving c --motion d",
        "--precision fp8",
        "doctor --port 1",
    ],
)
def test_usage_errors_exit_with_2(words, capsys):
    with pytest.raises(SystemExit) as exit:
        run.main(words.split())
    assert exit.value.code == 2 and "usage: run.py" in capsys.readouterr().err


def test_an_error_of_the_project_is_its_sentence(monkeypatch, capsys):
    from pipeline.files.video import VideoError

    raising(monkeypatch, VideoError("It has no video in it; choose another."))
    assert run.main([]) == 1
    assert capsys.readouterr() == ("", "It has no video in it; choose another.\n")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            ImportError("No module named 'av'"),
            "A package is missing or broken (No module named 'av'); `python run.py doctor` says",
        ),
        (FileNotFoundError(2, "No such file or directory", "x.json"), "x.json: No such file or directory."),
        (
            ZeroDivisionError("division by zero"),
            "Unexpected ZeroDivisionError: division by zero. Run the command again",
        ),
    ],
)
def test_other_errors_are_one_line(monkeypatch, capsys, error, sentence):
    raising(monkeypatch, error)
    assert run.main([]) == 1
    assert capsys.readouterr().err.startswith(sentence)


def test_verbose_shows_the_traceback(monkeypatch):
    raising(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        run.main(["--verbose"])


def test_ctrl_c_is_130(monkeypatch, capsys):
    raising(monkeypatch, KeyboardInterrupt())
    assert run.main([]) == 130
    assert capsys.readouterr() == ("", "")


def test_weights_list_and_verify(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PUPPET_CACHE", str(tmp_path))
    assert run.main(["weights", "list"]) == 0
    listed = capsys.readouterr().out
    assert "LivePortrait: warping module" in listed and "182,180,086 bytes" in listed and "unknown bytes" in listed
    assert "missing " in listed and "Apache-2.0" in listed and "249,505 bytes" in listed and "sha256 9ee168ec" in listed
    assert run.main(["weights", "verify", "liveportrait"]) == 1
    assert "run `python run.py weights fetch liveportrait`" in capsys.readouterr().err
    assert run.main(["weights", "verify"]) == 1
    assert "run `python run.py weights fetch`" in capsys.readouterr().err


def test_doctor_exit_code_follows_what_blocks(monkeypatch, capsys):
    from pipeline.doctor import Finding

    findings = [
        Finding("A", "ok", "fine"),
        Finding("B", "missing", "gone", "fetch it"),
        Finding("C", "missing", "too", "fetch it"),
    ]
    monkeypatch.setattr("web.cli.doctor.examine", lambda host, port: iter(findings))
    assert run.main(["doctor"]) == 0
    listed = "ok       A: fine\nmissing  B: gone\nmissing  C: too\n         -> fetch it\n\n"
    assert capsys.readouterr().out == listed + "The puppet can run on this machine.\n"
    findings.append(Finding("D", "missing", "all", "buy it", blocks=True))
    assert run.main(["doctor"]) == 1
    assert capsys.readouterr().out.endswith("\n\nThe puppet cannot run yet: D.\n")


def test_animate_writes_video_and_report(tmp_path, capsys):
    from pipeline.files.animate import read_source

    clip = write_clip(tmp_path / "d.mp4", [read_source(BUILTIN["astronaut"])] * 3)
    output, report = tmp_path / "o.mp4", tmp_path / "r.json"
    words = (
        f"animate --source {PORTRAIT} --driving {clip} --output {output} --json {report} --size 128 --set badge=false"
    )
    assert run.main(words.split()) == 0
    assert output.exists() and "o.mp4: 3 frames in" in capsys.readouterr().out
    content = json.loads(report.read_text())
    assert content["frames"] == 3 and content["lost"] == 0 and "p95" in content["stages_ms"]["track"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"source": "none.jpg"}, "none.jpg cannot be read (No such file or directory)"),
        ({"driving": "none.mp4"}, "There is no file none.mp4"),
        ({"driving": PORTRAIT, "output": "o.txt"}, "name the output .mp4"),
        ({"set": "head=9"}, "head must be a number from 0.0 to 2.0"),
        ({"set": "badge=maybe"}, "badge must be true or false, not 'maybe'"),
        ({"set": "heads=1"}, "There is no option 'heads'"),
        ({"animator": "liveportrait"}, "--animator meshwarp"),
    ],
)
def test_animate_says_what_is_wrong(tmp_path, monkeypatch, capsys, changes, sentence):
    monkeypatch.chdir(tmp_path)
    words = {"source": PORTRAIT, "driving": PORTRAIT, "output": "o.mp4", "size": "128"} | changes
    assert run.main(["animate", *(f"--{name}={value}" for name, value in words.items())]) == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert sentence in errors[-1] and "Traceback" not in "".join(errors)
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_a_face(tmp_path, capsys):
    clip = write_clip(tmp_path / "d.mp4", [gradient(64, 48, i) for i in range(5)])
    words = f"animate --source {PORTRAIT} --driving {clip} --output {tmp_path / 'o.mp4'} --size 128"
    assert run.main(words.split()) == 1
    assert "No face was found in" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [clip]
