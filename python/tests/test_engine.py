"""The engine's own step, from a trace, against the package: the same bits on the CPU."""
import numpy as np
import pytest

import qmse.io
import qmse.numpy

QMSE = ["--loss", "qmse", "--step", 5]
VARIANTS = {
    "qmse": QMSE,
    "full, rademacher, element mean": [*QMSE, "--q-gradient", "full", "--v-distribution", "rademacher", "--reduction", "element_mean"],
    "one v for the batch": [*QMSE, "--v-scope", "per_batch"],
    "without noise": ["--loss", "qmse_expected"],
    "mse with noise": ["--loss", "mse_noise", "--step", 5, "--v-distribution", "rademacher"],
    "mse": ["--loss", "mse", "--reduction", "element_mean"],
    "cross-entropy": ["--loss", "cross_entropy"],
}


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", VARIANTS)
def test_losses_gradients_and_v_have_the_bits_of_the_engine(program, small_data, tmp_path, name, dtype):
    path = tmp_path / "trace.safetensors"
    seed = 2**64 - 1
    program.run(
        *("trace", "--dataset", "mnist", "--data", small_data, "--model", "mlp", "--mlp-widths", 7, "--batch-size", 13, "--dtype", dtype),
        *("--seed", seed, "--device", "cpu", "--out", path, *VARIANTS[name]),
    )
    trace = qmse.io.read_trace(path)
    tensors, config = trace.tensors, trace.config
    order = qmse.numpy.epoch_order(90, 0, seed=seed)[:13]
    data = qmse.io.Dataset("mnist", "train", data=small_data)
    np.testing.assert_array_equal(tensors["target"], data.labels[order])
    options = {key: config[key] for key in ("v_distribution", "v_scope", "q_gradient") if key in config}
    draws = {"sample_ids": order, "step": 4, "seed": seed} if config["loss"] in ("qmse", "mse_noise") else {}
    loss, gradient = qmse.numpy.loss_and_gradient(
        tensors["output"], tensors["target"], config["loss"], reduction=config["reduction"], **options, **draws
    )
    np.testing.assert_array_equal(gradient, tensors["grad.output"])
    assert loss == pytest.approx(tensors["loss"][0], rel=1e-6 if dtype == "f32" else 1e-14)
    if config["reduction"] == "batch_mean":
        loss, _ = qmse.numpy.loss_and_gradient(tensors["output"], tensors["target"], config["loss"], reduction="none", **options, **draws)
        np.testing.assert_array_equal(loss, tensors["sample_loss"])
    if draws and config["v_scope"] == "per_sample":
        v = qmse.numpy.draw_direction(order, 10, step=4, seed=seed, v_distribution=config["v_distribution"])
        np.testing.assert_array_equal(v, tensors["v"])
