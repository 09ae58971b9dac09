"""The README's example: it stands there as it is in examples/, and follows the engine's loss."""
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from conftest import ROOT

import qmse

EXAMPLE = ROOT / "python" / "examples" / "train_as_the_engine.py"


def test_the_readme_has_the_example_as_it_is():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert EXAMPLE.read_text() in blocks


def test_the_example_follows_the_loss_of_the_engine_to_rounding(program, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    if not any((pathlib.Path(root) / "fashion-mnist").is_dir() for root in ("/usr/share/datasets", os.environ.get("QMSE_DATA", "/nowhere"))):
        pytest.skip("Fashion-MNIST is not installed")
    settings = ["--dataset", "fashion-mnist", "--train-limit", 640, "--seed", 1]
    program.run("train", *settings, "--epochs", 2, "--device", "cpu", "--out", tmp_path / "engine")
    program.run("trace", *settings, "--device", "cpu", "--out", tmp_path / "first.safetensors")
    package = str(pathlib.Path(qmse.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, EXAMPLE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    losses = [float(text) for text in re.findall(r"train loss (\S+)", done.stdout)]
    engine = [json.loads(line)["train_loss"] for line in (tmp_path / "engine" / "metrics.jsonl").read_text().splitlines()]
    assert losses == pytest.approx(engine, rel=1e-5)
