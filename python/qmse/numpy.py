"""The losses for NumPy: value and gradient in one pass on the CPU, in f32 or f64."""
import os

import numpy as np

from qmse import _library, _options

__all__ = ["loss_and_gradient", "draw_direction", "epoch_order"]

_FLOATS = {np.dtype(np.float32): _library.FLOAT32, np.dtype(np.float64): _library.FLOAT64}
_INTEGERS = {np.dtype(np.int32): _library.INT32, np.dtype(np.int64): _library.INT64}


def _address(array):
    return None if array is None else array.ctypes.data


def _integers(name, values):
    """A contiguous array of int32 or int64; other integers of NumPy are converted where int64 holds them."""
    array = np.asarray(values)
    if array.size == 0 and array.dtype == np.float64:  # an empty list
        array = array.astype(np.int64)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} must be integers, not {array.dtype}")
    if array.dtype not in _INTEGERS:
        if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{name} holds {array.max()}, which no index is")
        array = array.astype(np.int64)
    return np.ascontiguousarray(array)


def loss_and_gradient(
    output,
    target,
    loss="qmse",
    *,
    sample_ids=None,
    step=0,
    seed=1,
    reduction="batch_mean",
    v_distribution="sphere",
    v_scope="per_sample",
    q_gradient="constant",
):
    """The loss, and its gradient with respect to `output`.

    output: [batch, classes], float32 or float64. target: labels [batch] of integers, or dense targets like output.
    loss: "qmse", "mse", "qmse_expected", "mse_noise" or "cross_entropy".
    sample_ids: [batch] indices in the data set; without them the positions 0, 1, ... in the batch.
    Returns a number of output's type (an array [batch] with reduction "none", the gradient then being that of each
    sample's own loss) and an array like output.
    """
    _options.check_options(loss, reduction, v_distribution, v_scope, q_gradient)
    output = np.asarray(output)
    if output.dtype not in _FLOATS:
        raise TypeError(f"output must be float32 or float64, not {output.dtype}")
    target = np.asarray(target)
    labels = target.ndim < 2 or not np.issubdtype(target.dtype, np.inexact)
    if labels:
        target = _integers("labels", target)
    elif target.dtype != output.dtype:
        raise TypeError(f"dense targets must be {output.dtype} as output is, not {target.dtype}")
    if sample_ids is not None:
        sample_ids = _integers("sample_ids", sample_ids)
    _options.check_shapes(output.shape, target.shape, labels, None if sample_ids is None else sample_ids.shape)
    seed = _options.check_seed(seed)
    step = np.array(_options.check_whole("step", step, 2**64), np.uint64)

    output, target = np.ascontiguousarray(output), np.ascontiguousarray(target)
    batch, classes = output.shape
    value = np.empty(batch if reduction == "none" else (), output.dtype)
    gradient = np.empty_like(output)
    args = _options.new_args(loss, reduction, batch, classes, seed, v_distribution, v_scope, q_gradient)
    args.dtype = _FLOATS[output.dtype]
    args.threads = len(os.sched_getaffinity(0))
    args.outputs = _address(output)
    if labels:
        args.labels, args.label_dtype = _address(target), _INTEGERS[target.dtype]
    else:
        args.targets = _address(target)
    if sample_ids is not None:
        args.sample_ids, args.sample_id_dtype = _address(sample_ids), _INTEGERS[sample_ids.dtype]
    args.step = _address(step)
    args.gradient = _address(gradient)
    if reduction == "none":
        args.sample_loss = _address(value)
    else:
        args.mean_loss = _address(value)
    _library.loss_cpu(args)
    return value if reduction == "none" else value[()], gradient


def draw_direction(sample_ids, classes, *, step=0, seed=1, v_distribution="sphere"):
    """The random unit vectors v of QMSE, float32 [len(sample_ids), classes]."""
    sample_ids = _integers("sample_ids", sample_ids).astype(np.int64)
    if sample_ids.ndim != 1:
        raise ValueError(f"sample_ids must have one dimension, not the shape {list(sample_ids.shape)}")
    classes = _options.check_whole("classes", classes, 2**30 + 1)
    distribution = _options.index_of("v_distribution", v_distribution, _options.DISTRIBUTIONS)
    v = np.empty((len(sample_ids), classes), np.float32)
    seed, step = _options.check_seed(seed), _options.check_whole("step", step, 2**64)
    _library.draw_direction(distribution, seed, step, _address(sample_ids), len(sample_ids), classes, _address(v))
    return v


def epoch_order(count, epoch, *, seed=1):
    """The order in which a training with this seed goes through `count` samples in an epoch, the first epoch being 0; int64."""
    count = _options.check_whole("count", count, 2**32)
    epoch = _options.check_whole("epoch", epoch, 2**32)
    order = np.empty(count, np.uint32)
    _library.epoch_order(_options.check_seed(seed), epoch, count, _address(order))
    return order.astype(np.int64)
