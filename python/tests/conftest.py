"""Where the program and the oracle are: QMSE_PROGRAM names the engine's program, without which the tests that need it are skipped."""
import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# The random numbers, written a second time. By its path: beside it lies a module with the name of the package safetensors.
_spec = importlib.util.spec_from_file_location("random_numbers", ROOT / "tests" / "oracle" / "random_numbers.py")
sys.modules["random_numbers"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["random_numbers"])


class Program:
    def __init__(self, path):
        self.path = path

    def run(self, *arguments):
        done = subprocess.run([self.path, *map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def program():
    path = os.environ.get("QMSE_PROGRAM")
    if not path:
        pytest.skip("QMSE_PROGRAM does not name the engine's program")
    return Program(path)


def write_idx(path, array):
    header = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """A folder with an MNIST of 90 training and 20 test images of 8 x 8 pixels."""
    random = np.random.default_rng(7)
    folder = tmp_path_factory.mktemp("data") / "mnist"
    folder.mkdir()
    for prefix, count in (("train", 90), ("t10k", 20)):
        write_idx(folder / f"{prefix}-images-idx3-ubyte", random.integers(0, 256, (count, 8, 8)))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", random.integers(0, 10, count))
    return folder.parent


def problem(batch, classes, dtype=np.float32, seed=0, dense=False):
    """Outputs, and labels or dense targets."""
    random = np.random.default_rng([batch, classes, seed])
    output = random.normal(0, 0.8, (batch, classes)).astype(dtype)
    target = random.random((batch, classes)).astype(dtype) if dense else random.integers(0, classes, batch)
    return output, target


def reference(loss, output, target, v=None, q_gradient="constant"):
    """Each sample's loss and its gradient in f64, from the formulas (docs/theory.md). QMSE's `constant` gradient is that of 1/2 r^T Q r with
    the matrix Q made and kept."""
    f = np.asarray(output, np.float64)
    y = np.asarray(target, np.float64) if np.ndim(target) == 2 else np.eye(f.shape[1])[target]
    r = y - f
    squared = (r**2).sum(1)
    if loss == "mse":
        return squared / 2, -r
    if loss == "qmse_expected":
        return (squared**2 + squared / f.shape[1]) / 2, -(squared + 1 / f.shape[1])[:, None] * r
    if loss == "mse_noise":
        a = squared + (np.asarray(v, np.float64) * r).sum(1)
        return squared / 2, -(r + a[:, None] * (r + v) - (squared + 1 / f.shape[1])[:, None] * r)
    if loss == "cross_entropy":
        shifted = f - f.max(1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        return -(y * logs).sum(1), y.sum(1, keepdims=True) * np.exp(logs) - y
    v = np.asarray(v, np.float64)
    q = np.einsum("bi,bj->bij", r + v, r + v)
    value = np.einsum("bi,bij,bj->b", r, q, r) / 2
    if q_gradient == "constant":
        return value, -np.einsum("bij,bj->bi", q, r)
    a = squared + (v * r).sum(1)
    return value, -a[:, None] * (2 * r + v)
