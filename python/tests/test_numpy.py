"""The losses for NumPy: against the formulas, and v against the random numbers written a second time."""
import os
import threading

import numpy as np
import pytest
import random_numbers
from conftest import problem, reference

import qmse.numpy

LOSSES = ("mse", "qmse", "qmse_expected", "mse_noise", "cross_entropy")
LARGEST = 2**64 - 1


def directions(ids, classes, step, seed, distribution="sphere"):
    return {"sphere": random_numbers.sphere, "rademacher": random_numbers.rademacher}[distribution](seed, step, ids, classes)


@pytest.mark.parametrize("distribution", ["sphere", "rademacher"])
@pytest.mark.parametrize("classes", [1, 2, 3, 10, 129, 8193])
@pytest.mark.parametrize("seed", [0, 1, 2**63, LARGEST])
def test_v_has_the_bits_of_its_description(distribution, classes, seed):
    ids = [0, 1, 59999, 2**31, 2**32 - 2]
    v = qmse.numpy.draw_direction(ids, classes, step=41, seed=seed, v_distribution=distribution)
    assert v.dtype == np.float32
    np.testing.assert_array_equal(v, directions(ids, classes, 41, seed, distribution))


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_the_order_of_an_epoch_is_that_of_its_description(count):
    np.testing.assert_array_equal(qmse.numpy.epoch_order(count, 3, seed=LARGEST), random_numbers.order(LARGEST, 3, count))


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("batch, classes", [(1, 1), (3, 1), (5, 2), (64, 10), (7, 33), (2, 8193)])
def test_values_and_gradients_are_those_of_the_formulas(loss, batch, classes, dtype, tolerance, dense):
    output, target = problem(batch, classes, dtype, dense=dense)
    ids = np.arange(batch)[::-1] * 3
    v = directions(ids, classes, 5, 9)
    each, gradient = reference(loss, output, target, v)
    value, ours = qmse.numpy.loss_and_gradient(output, target, loss, sample_ids=ids, step=5, seed=9, reduction="none")
    assert value.shape == (batch,) and value.dtype == ours.dtype == dtype
    np.testing.assert_allclose(value, each, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(ours, gradient, rtol=tolerance, atol=tolerance * max(1, np.abs(gradient).max()))
    value, ours = qmse.numpy.loss_and_gradient(output, target, loss, sample_ids=ids, step=5, seed=9)
    np.testing.assert_allclose(value, each.mean(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(ours, gradient / batch, rtol=tolerance, atol=tolerance * max(1, np.abs(gradient).max()))


def test_element_mean_is_two_over_the_classes_times_the_batch_mean():
    output, target = problem(6, 4, np.float64)
    for loss in LOSSES[:4]:
        value, gradient = qmse.numpy.loss_and_gradient(output, target, loss)
        scaled, scaled_gradient = qmse.numpy.loss_and_gradient(output, target, loss, reduction="element_mean")
        np.testing.assert_allclose(scaled, value / 2, rtol=1e-14)
        np.testing.assert_allclose(scaled_gradient, gradient / 2, rtol=1e-14)


@pytest.mark.parametrize("options", [{"v_distribution": "rademacher"}, {"v_scope": "per_batch"}, {"q_gradient": "full"}])
def test_options_of_qmse(options):
    output, target = problem(5, 10, np.float64)
    ids = [random_numbers.WHOLE_BATCH] * 5 if "v_scope" in options else range(5)
    v = directions(list(ids), 10, 2, 1, options.get("v_distribution", "sphere"))
    each, gradient = reference("qmse", output, target, v, options.get("q_gradient", "constant"))
    value, ours = qmse.numpy.loss_and_gradient(output, target, step=2, reduction="none", **options)
    np.testing.assert_allclose(value, each, rtol=1e-12)
    np.testing.assert_allclose(ours, gradient, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("options", [{"v_distribution": "rademacher"}, {"v_scope": "per_batch"}])
def test_options_of_mse_with_noise(options):
    output, target = problem(5, 10, np.float64)
    ids = [random_numbers.WHOLE_BATCH] * 5 if "v_scope" in options else range(5)
    v = directions(list(ids), 10, 2, 1, options.get("v_distribution", "sphere"))
    each, gradient = reference("mse_noise", output, target, v)
    value, ours = qmse.numpy.loss_and_gradient(output, target, "mse_noise", step=2, reduction="none", **options)
    np.testing.assert_allclose(value, each, rtol=1e-12)
    np.testing.assert_allclose(ours, gradient, rtol=1e-11, atol=1e-13)


def test_full_is_the_gradient_of_the_value_and_constant_is_that_with_q_frozen():
    output, target = problem(3, 4, np.float64)
    for q_gradient in ("full", "constant"):
        _, gradient = qmse.numpy.loss_and_gradient(output, target, reduction="none", q_gradient=q_gradient)
        v = qmse.numpy.draw_direction(range(3), 4).astype(np.float64)
        frozen = np.eye(4)[target] - output + v
        for i in range(4):
            moved, h = np.zeros((3, 4)), 1e-6
            moved[:, i] = h

            def value(f):
                r = np.eye(4)[target] - f
                return ((r + v if q_gradient == "full" else frozen) * r).sum(1) ** 2 / 2

            np.testing.assert_allclose(gradient[:, i], (value(output + moved) - value(output - moved)) / (2 * h), rtol=1e-7, atol=1e-8)


def test_inputs_may_be_strided_and_are_left_as_they_are():
    output, target = problem(6, 10)
    wide, reversed_labels = np.asfortranarray(np.repeat(output, 2, 1))[:, ::2], target[::-1].copy()[::-1]
    before = wide.copy()
    value, gradient = qmse.numpy.loss_and_gradient(wide, reversed_labels)
    expected, expected_gradient = qmse.numpy.loss_and_gradient(output, target)
    assert value == expected
    np.testing.assert_array_equal(gradient, expected_gradient)
    np.testing.assert_array_equal(wide, before)
    read_only = output.copy()
    read_only.flags.writeable = False
    assert qmse.numpy.loss_and_gradient(read_only, target)[0] == expected


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_labels_and_ids_of_any_integers(dtype):
    output, target = problem(6, 10)
    expected = qmse.numpy.loss_and_gradient(output, target, sample_ids=[5, 4, 3, 2, 1, 0])
    ours = qmse.numpy.loss_and_gradient(output, target.astype(dtype), sample_ids=np.arange(6)[::-1].astype(dtype))
    assert ours[0] == expected[0]
    np.testing.assert_array_equal(ours[1], expected[1])


def test_an_empty_batch():
    value, gradient = qmse.numpy.loss_and_gradient(np.zeros((0, 10), np.float32), [])
    assert np.isnan(value) and gradient.shape == (0, 10)
    value, gradient = qmse.numpy.loss_and_gradient(np.zeros((0, 10)), [], "mse", reduction="none")
    assert value.shape == (0,)


@pytest.mark.parametrize(
    "change, error, text",
    [
        ({"target": np.array([0, 10, 1])}, ValueError, r"labels\[1\] is 10, must be 0 to 9"),
        ({"target": np.array([0, 1, -1])}, ValueError, r"labels\[2\] is -1"),
        ({"target": np.array([0, 1, 2**32])}, ValueError, r"labels\[2\] is 4294967296"),
        ({"target": np.array([0, 1])}, ValueError, r"labels must have the shape \[3\]"),
        ({"target": np.zeros((3, 9), np.float32)}, ValueError, r"dense targets must have output's shape \[3, 10\]"),
        ({"target": np.zeros((3, 10))}, TypeError, "dense targets must be float32"),
        ({"target": np.array([True, False, True])}, TypeError, "labels must be integers, not bool"),
        ({"output": np.zeros(10, np.float32)}, ValueError, r"\[batch, classes\]"),
        ({"output": np.zeros((3, 0), np.float32)}, ValueError, "at least one class"),
        ({"output": np.zeros((3, 10), np.float16)}, TypeError, "output must be float32 or float64, not float16"),
        ({"sample_ids": [0, 1]}, ValueError, r"sample_ids must have the shape \[3\]"),
        ({"sample_ids": [0, 1, -1]}, ValueError, r"sample_ids\[2\] is -1"),
        ({"sample_ids": [0, 1, 2**32 - 1]}, ValueError, r"sample_ids\[2\] is 4294967295"),
        ({"sample_ids": [0.0, 1.0, 2.0]}, TypeError, "sample_ids must be integers"),
        ({"seed": -1}, ValueError, "seed must be 0 to 18446744073709551615, not -1"),
        ({"seed": 2**64}, ValueError, "seed must be"),
        ({"seed": 1.0}, TypeError, "seed must be a whole number"),
        ({"step": -1}, ValueError, "step must be"),
        ({"loss": "mae"}, ValueError, "loss must be one of 'mse', 'qmse'"),
        ({"reduction": "sum"}, ValueError, "reduction must be one of"),
        ({"v_scope": "batch"}, ValueError, "v_scope must be one of"),
        ({"v_distribution": "normal"}, ValueError, "v_distribution must be one of"),
        ({"q_gradient": "none"}, ValueError, "q_gradient must be one of"),
        ({"loss": "cross_entropy", "reduction": "element_mean"}, ValueError, "does not go with cross-entropy"),
    ],
)
def test_errors_say_what_is_wrong(change, error, text):
    arguments = {"output": np.zeros((3, 10), np.float32), "target": np.array([0, 1, 2]), **change}
    with pytest.raises(error, match=text):
        qmse.numpy.loss_and_gradient(**arguments)


def test_threads_at_once_do_not_disturb_each_other():
    output, target = problem(512, 700)  # large enough that each call uses several threads itself
    expected = qmse.numpy.loss_and_gradient(output, target)
    seen, errors = [], []

    def work(good):
        for _ in range(5):
            try:
                seen.append(qmse.numpy.loss_and_gradient(output, target if good else np.full(512, 700)))
            except ValueError as error:
                errors.append(str(error))

    threads = [threading.Thread(target=work, args=(i < 2,)) for i in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(seen) == 10 and errors == ["labels[0] is 700, must be 0 to 699"] * 10
    for value, gradient in seen:
        assert value == expected[0]
        np.testing.assert_array_equal(gradient, expected[1])


def test_after_fork():
    output, target = problem(512, 700)
    expected = qmse.numpy.loss_and_gradient(output, target)[0]
    child = os.fork()
    if child == 0:
        os._exit(0 if qmse.numpy.loss_and_gradient(output, target)[0] == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
