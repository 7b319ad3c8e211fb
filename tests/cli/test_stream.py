"""`unrecur stream` over sounds and standard input."""

import re
import wave

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import unrecur
from unrecur.cli.main import app
from unrecur.streams.stream import Stream

OPTIONS = {"in_features": 2, "out_features": 3, "hidden": 4}


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    spec = unrecur.Spec("gru", OPTIONS)
    path = tmp_path / "Modell ü.safetensors"
    unrecur.save_model(path, spec, spec.build())
    return path


@pytest.fixture
def sound(tmp_path):
    """201 samples at 8 kHz, in a path with spaces and letters beyond ASCII."""
    path = tmp_path / "Meine Töne" / "a b.wav"
    path.parent.mkdir()
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 201).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    return path, samples[:200].reshape(100, 2).astype(np.float32) / 2**15


def answer(model, x):
    with torch.no_grad():
        return unrecur.load_model(model)[1](torch.from_numpy(x)[None])[0][0].numpy()


def run(*words, **options):
    return CliRunner().invoke(app, ["stream", *map(str, words)], **options)


def test_a_sound_goes_to_an_array(model, sound, tmp_path):
    wav, x = sound
    out = tmp_path / "Ausgabe é.npy"
    result = run(model, "--wav", wav, "--out", out, "--block", 7)
    assert result.exit_code == 0, result.output
    assert np.abs(np.load(out) - answer(model, x)).max() < 1e-6
    assert "the last 1 of 201 samples are no whole step of 2" in result.stderr
    said = re.search(r"100 steps in ([\d.]+) s, latency 0 steps; .*factor ([\d.]+)", result.stderr)
    # 100 steps at 4,000 a second are 25 ms.
    assert float(said[2]) == pytest.approx(float(said[1]) / 0.025, rel=0.05, abs=0.05)


def test_standard_input_goes_to_standard_output(model):
    x = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    result = run(model, "--block", 1, input=x.tobytes())
    assert result.exit_code == 0, result.stderr
    y = np.frombuffer(result.stdout_bytes, np.float32).reshape(-1, 3)
    assert np.abs(y - answer(model, x)).max() < 1e-6
    assert "factor" not in result.stderr  # nothing says how many steps there are to a second
    assert "factor" in run(model, "--rate", 100, input=x.tobytes()).stderr


def test_bad_input_is_one_message_and_no_file(model, sound, tmp_path):
    out = tmp_path / "y.npy"
    cases = {
        "4 bytes more than whole ones": (bytes(28), []),
        "NaN": (np.full(4, np.nan, np.float32).tobytes(), []),
        "expected an .npy file": (b"", ["--out", tmp_path / "y.txt"]),
        "rate must be": (b"", ["--rate", -1]),
        "No such file": (b"", ["--wav", tmp_path / "no.wav"]),
    }
    for message, (content, more) in cases.items():
        result = run(model, "--out", out, *more, input=content)
        assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
        assert not out.exists()
    assert run(tmp_path / "none.safetensors", input=b"").exit_code == 2


def test_models_of_tokens_are_refused(tmp_path):
    spec = unrecur.Spec("gru", {**OPTIONS, "tokens": True})
    unrecur.save_model(tmp_path / "m.safetensors", spec, spec.build())
    result = run(tmp_path / "m.safetensors", input=b"")
    assert result.exit_code == 2
    assert "got one of tokens" in result.stderr


def test_an_interruption_keeps_the_outputs(model, sound, tmp_path, monkeypatch):
    wav, x = sound
    feed = Stream.feed

    def interrupted(self, block):
        if self.come >= 30:
            raise KeyboardInterrupt
        return feed(self, block)

    monkeypatch.setattr(Stream, "feed", interrupted)
    out = tmp_path / "y.npy"
    result = run(model, "--wav", wav, "--out", out, "--block", 10)
    assert result.exit_code == 130
    assert "stopped after 30 steps" in result.stderr
    assert np.abs(np.load(out) - answer(model, x)[:30]).max() < 1e-6
