"""The losses for JAX: bits of qmse.numpy, under jit, vmap and with a step that is traced."""
import inspect

import numpy as np
import pytest
from conftest import problem

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp  # noqa: E402

import qmse.jax  # noqa: E402
import qmse.numpy  # noqa: E402

# What follows compares bits with the CPU's; the tests of a GPU place their arrays there.
jax.config.update("jax_default_device", jax.devices("cpu")[0])
try:
    GPU = jax.devices("gpu")[0]
except RuntimeError:
    GPU = None
gpu = pytest.mark.skipif(GPU is None, reason="no GPU")

FUNCTIONS = {
    "qmse": qmse.jax.qmse_loss,
    "mse": qmse.jax.mse_loss,
    "qmse_expected": qmse.jax.qmse_expected_loss,
    "mse_noise": qmse.jax.mse_noise_loss,
    "cross_entropy": qmse.jax.cross_entropy_loss,
}


@pytest.mark.parametrize("reduction", ["batch_mean", "none"])
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("loss", FUNCTIONS)
@pytest.mark.parametrize("batch, classes", [(1, 1), (64, 10), (2, 8193)])
def test_values_and_gradients_have_the_bits_of_numpy(loss, batch, classes, dense, reduction):
    output, target = problem(batch, classes, dense=dense)
    target = target if dense else target.astype(np.int32)
    draws = {"sample_ids": np.arange(batch, dtype=np.int32) * 7, "step": 3, "seed": 2**64 - 1} if loss in ("qmse", "mse_noise") else {}
    value, gradient = qmse.numpy.loss_and_gradient(output, target, loss, reduction=reduction, **draws)
    function = lambda f: FUNCTIONS[loss](f, target, reduction=reduction, **draws)  # noqa: E731
    for call in (function, jax.jit(function)):
        ours, pull = jax.vjp(call, output)
        np.testing.assert_array_equal(np.asarray(ours), value)
        np.testing.assert_array_equal(np.asarray(pull(jnp.ones_like(ours))[0]), gradient)


def test_f64():
    output, target = problem(5, 10, np.float64)
    with jax.experimental.enable_x64() if hasattr(jax.experimental, "enable_x64") else jax.enable_x64(True):
        value, gradient = jax.value_and_grad(lambda f: qmse.jax.qmse_loss(f, target, step=7))(jnp.asarray(output))
    expected, expected_gradient = qmse.numpy.loss_and_gradient(output, target, step=7)
    assert float(value) == expected
    np.testing.assert_array_equal(np.asarray(gradient), expected_gradient)


def test_one_compilation_serves_every_step():
    output, target = problem(8, 10)
    traced = []

    @jax.jit
    def loss(f, step):
        traced.append(step)
        return qmse.jax.qmse_loss(f, target.astype(np.int32), step=step)

    for step in range(20):
        assert loss(output, step) == qmse.numpy.loss_and_gradient(output, target, step=step)[0]
    assert len(traced) == 1


@pytest.mark.parametrize("distribution", ["sphere", "rademacher"])
def test_v_has_the_bits_of_numpy(distribution):
    ids = np.array([0, 5, 2**31 - 1], np.int32)
    v = qmse.jax.draw_direction(ids, 10, step=4, seed=2**63, v_distribution=distribution)
    np.testing.assert_array_equal(np.asarray(v), qmse.numpy.draw_direction(ids, 10, step=4, seed=2**63, v_distribution=distribution))


def test_vmap_has_the_bits_of_a_loop():
    output, target = problem(5, 10)
    target = target.astype(np.int32)
    stack = np.stack([output, 2 * output, -output])
    loss = lambda f: qmse.jax.qmse_loss(f, target, step=2)  # noqa: E731
    np.testing.assert_array_equal(np.asarray(jax.vmap(loss)(stack)), [qmse.numpy.loss_and_gradient(f, target, step=2)[0] for f in stack])
    gradients = np.asarray(jax.vmap(jax.grad(loss))(stack))
    np.testing.assert_array_equal(gradients, [qmse.numpy.loss_and_gradient(f, target, step=2)[1] for f in stack])


def test_gradients_other_than_one_and_weights():
    output, target = problem(5, 10)
    target, weights = target.astype(np.int32), np.array([1, -2, 0, 0.5, 4], np.float32)
    gradient = jax.grad(lambda f: (weights * qmse.jax.qmse_loss(f, target, reduction="none")).sum())(output)
    _, each = qmse.numpy.loss_and_gradient(output, target, reduction="none")
    np.testing.assert_array_equal(np.asarray(gradient), weights[:, None] * each)


def test_an_empty_batch():
    assert np.isnan(qmse.jax.qmse_loss(np.zeros((0, 10), np.float32), np.zeros(0, np.int32)))


def test_names_and_defaults_are_those_of_the_other_front_ends():
    ours = inspect.signature(qmse.jax.qmse_loss).parameters
    numpys = inspect.signature(qmse.numpy.loss_and_gradient).parameters
    assert {n: p.default for n, p in ours.items()} == {n: p.default for n, p in numpys.items() if n != "loss"}


@pytest.mark.parametrize(
    "change, error, text",
    [
        ({"target": np.array([0, 10, 1], np.int32)}, Exception, r"labels\[1\] is 10, must be 0 to 9"),  # XLA's own exception
        ({"target": np.array([0, 1], np.int32)}, ValueError, "labels must have the shape"),
        ({"target": np.zeros((3, 10), np.float16)}, TypeError, "dense targets of output's float32"),
        ({"output": np.zeros(10, np.float32)}, ValueError, r"\[batch, classes\]"),
        ({"output": np.zeros((3, 10), np.float16)}, TypeError, "output must be float32"),
        ({"sample_ids": np.zeros(3, np.float32)}, TypeError, "sample_ids must be int32 or int64"),
        ({"step": np.zeros(3, np.int32)}, TypeError, "step must be a whole number"),
        ({"seed": 2**64}, ValueError, "seed must be"),
        ({"reduction": "mean"}, ValueError, "reduction must be one of"),
    ],
)
def test_errors_say_what_is_wrong(change, error, text):
    arguments = {"output": np.zeros((3, 10), np.float32), "target": np.array([0, 1, 2], np.int32), **change}
    with pytest.raises(error, match=text):
        qmse.jax.qmse_loss(**arguments).block_until_ready()


def test_an_older_jax_is_an_import_error_that_names_both_versions(monkeypatch):
    import importlib

    monkeypatch.delattr(jax, "ffi")
    with pytest.raises(ImportError, match=r"qmse .* needs JAX 0\.5 or later; this is JAX"):
        importlib.reload(qmse.jax)


@gpu
@pytest.mark.parametrize("loss", FUNCTIONS)
@pytest.mark.parametrize("batch, classes", [(64, 10), (3, 600), (2, 8193)])
def test_on_a_gpu_losses_agree_and_v_has_the_same_bits(loss, batch, classes):
    output, target = problem(batch, classes)
    target = target.astype(np.int32)
    value, gradient = qmse.numpy.loss_and_gradient(output, target, loss)
    with jax.default_device(GPU):
        ids = jnp.arange(batch, dtype=jnp.int32) * 3
        v = qmse.jax.draw_direction(ids, classes, step=5)
        function = jax.jit(jax.value_and_grad(lambda f: FUNCTIONS[loss](f, jax.device_put(target, GPU))))
        ours, pulled = function(jax.device_put(output, GPU))
    assert v.devices() == {GPU} and pulled.devices() == {GPU}
    np.testing.assert_array_equal(np.asarray(v), qmse.numpy.draw_direction(np.asarray(ids), classes, step=5))
    np.testing.assert_allclose(float(ours), value, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(pulled), gradient, rtol=1e-5, atol=1e-6)


@gpu
def test_on_a_gpu_labels_out_of_range_give_nan_and_no_gradient():
    with jax.default_device(GPU):
        target = jnp.array([0, 4, -1], jnp.int32)
        losses, pull = jax.vjp(lambda f: qmse.jax.qmse_loss(f, target, reduction="none"), jnp.zeros((3, 4), jnp.float32))
        gradient = np.asarray(pull(jnp.ones(3, jnp.float32))[0])
    assert np.isnan(np.asarray(losses)).tolist() == [False, True, True]
    assert np.abs(gradient[1:]).sum() == 0 and np.abs(gradient[0]).sum() > 0


@gpu
def test_on_a_gpu_a_scan_draws_anew_at_every_step():
    output, target = problem(8, 10)
    with jax.default_device(GPU):
        f, labels = jax.device_put(output, GPU), jnp.asarray(target.astype(np.int32))
        scan = jax.jit(lambda steps: jax.lax.scan(lambda carry, step: (carry, qmse.jax.qmse_loss(f, labels, step=step)), 0, steps)[1])
        losses = np.asarray(scan(jnp.arange(5)))
    expected = [qmse.numpy.loss_and_gradient(output, target, step=step)[0] for step in range(5)]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
