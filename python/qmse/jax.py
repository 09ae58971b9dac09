"""The losses for JAX, as custom calls of XLA: on the CPU (float32; float64 with jax_enable_x64) and on NVIDIA GPUs (float32).

    loss, gradient = jax.value_and_grad(lambda f: qmse.jax.qmse_loss(f, labels, sample_ids=indices, step=step))(outputs)

v depends on seed, step and the sample's id alone, and not on a key of jax.random. See docs/python.md.
"""
import ctypes
import functools

import jax
import jax.numpy as jnp
import numpy as np

from qmse import __version__, _library, _options

if not hasattr(jax, "ffi"):
    raise ImportError(f"qmse {__version__} needs JAX 0.5 or later; this is JAX {jax.__version__}")

__all__ = ["qmse_loss", "mse_loss", "qmse_expected_loss", "mse_noise_loss", "cross_entropy_loss", "draw_direction"]


def _register():
    for name in ("loss", "direction"):
        for platform, suffix in (("cpu", "cpu"), ("CUDA", "cuda")):
            handler = getattr(_library.library, f"qmse_xla_{name}_{suffix}")
            handler.restype = ctypes.c_void_p
            jax.ffi.register_ffi_target(f"qmse_{name}", jax.ffi.pycapsule(handler), platform=platform)


_register()


def _step_words(step):
    """The step as two 32-bit words, the lower one first: JAX has 64-bit numbers by option only."""
    if not isinstance(step, (jax.Array, np.ndarray, np.generic)) or isinstance(step, np.generic):
        step = _options.check_whole("step", step, 2**64)
        return jnp.array([step & 0xFFFFFFFF, step >> 32], jnp.uint32)
    if step.ndim != 0 or not jnp.issubdtype(step.dtype, jnp.integer):
        raise TypeError(f"step must be a whole number, not {step.dtype} {list(step.shape)}")
    return jnp.stack([jnp.asarray(step).astype(jnp.uint32), jnp.zeros((), jnp.uint32)])


def _ids(sample_ids):
    sample_ids = jnp.asarray(sample_ids)
    if sample_ids.dtype not in (jnp.int32, jnp.int64):
        raise TypeError(f"sample_ids must be int32 or int64, not {sample_ids.dtype}")
    return sample_ids


def _custom_call(output, target, sample_ids, words, options):
    loss, reduction, seed, v_distribution, v_scope, q_gradient = options
    loss_scale, gradient_scale = _options.scales(reduction, *output.shape)
    value = jax.ShapeDtypeStruct(output.shape[:1] if reduction == "none" else (), output.dtype)
    call = jax.ffi.ffi_call("qmse_loss", (value, jax.ShapeDtypeStruct(output.shape, output.dtype)), vmap_method="sequential")
    return call(
        output,
        target,
        sample_ids,
        words,
        loss=np.int64(_options.LOSSES.index(loss)),
        seed=np.int64(seed - 2**64 if seed >= 2**63 else seed),
        v_distribution=np.int64(_options.DISTRIBUTIONS.index(v_distribution)),
        v_scope=np.int64(_options.SCOPES.index(v_scope)),
        q_gradient=np.int64(_options.Q_GRADIENTS.index(q_gradient)),
        loss_scale=np.float64(loss_scale),
        gradient_scale=np.float64(gradient_scale),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _loss(output, target, sample_ids, words, options):
    return _custom_call(output, target, sample_ids, words, options)[0]


def _forward(output, target, sample_ids, words, options):
    value, gradient = _custom_call(output, target, sample_ids, words, options)
    return value, (gradient, target)


def _backward(options, residuals, of_value):
    gradient, target = residuals
    of_value = of_value[:, None] if of_value.ndim == 1 else of_value
    # Dense targets count as constants, as they do in qmse.torch.
    of_target = jnp.zeros_like(target) if jnp.issubdtype(target.dtype, jnp.floating) else None
    return gradient * of_value, of_target, None, None


_loss.defvjp(_forward, _backward)


def _call(loss, output, target, reduction, sample_ids=None, step=0, seed=0, v_distribution="sphere", v_scope="per_sample", q_gradient="constant"):
    _options.check_options(loss, reduction, v_distribution, v_scope, q_gradient)
    output, target = jnp.asarray(output), jnp.asarray(target)
    if output.dtype not in (jnp.float32, jnp.float64):
        raise TypeError(f"output must be float32, or float64 on the CPU, not {output.dtype}")
    labels = target.dtype in (jnp.int32, jnp.int64)
    if not labels and target.dtype != output.dtype:
        raise TypeError(f"target must be labels of int32 or int64, or dense targets of output's {output.dtype}, not {target.dtype}")
    if sample_ids is not None:
        sample_ids = _ids(sample_ids)
    _options.check_shapes(output.shape, target.shape, labels, None if sample_ids is None else sample_ids.shape)
    if sample_ids is None:
        sample_ids = jnp.arange(output.shape[0], dtype=jnp.int32)
    return _loss(output, target, sample_ids, _step_words(step), (loss, reduction, seed, v_distribution, v_scope, q_gradient))


def qmse_loss(
    output, target, *, sample_ids=None, step=0, seed=1, reduction="batch_mean", v_distribution="sphere", v_scope="per_sample", q_gradient="constant"
):
    """QMSE: 1/2 r^T Q r a sample, r = y - f, Q = (r + v)(r + v)^T, v a random unit vector.

    output: f [batch, classes]. target: labels [batch] (int32, int64), or dense targets y like output.
    sample_ids: [batch] indices in the data set, from which v is drawn; without them the positions in the batch.
    step: a whole number, or an array of one, which may be traced.
    reduction: "batch_mean", "element_mean" (times 2 / classes) or "none".
    q_gradient: "constant" holds Q constant in the gradient, as the paper does; "full" differentiates Q too.
    """
    return _call("qmse", output, target, reduction, sample_ids, step, _options.check_seed(seed), v_distribution, v_scope, q_gradient)


def mse_loss(output, target, *, reduction="batch_mean"):
    """1/2 ||r||^2 a sample; with reduction "element_mean" the mean over batch and classes without the half."""
    return _call("mse", output, target, reduction)


def qmse_expected_loss(output, target, *, reduction="batch_mean"):
    """QMSE without its noise: value 1/2 (||r||^4 + ||r||^2 / c), and as gradient QMSE's expected one, -(||r||^2 + 1/c) r."""
    return _call("qmse_expected", output, target, reduction)


def mse_noise_loss(output, target, *, sample_ids=None, step=0, seed=1, reduction="batch_mean", v_distribution="sphere", v_scope="per_sample"):
    """MSE with the noise of QMSE: value 1/2 ||r||^2, and as gradient MSE's with QMSE's less its expectation, -(r + Qr - (||r||^2 + 1/c) r).

    The options are those of qmse_loss().
    """
    return _call("mse_noise", output, target, reduction, sample_ids, step, _options.check_seed(seed), v_distribution, v_scope)


def cross_entropy_loss(output, target, *, reduction="batch_mean"):
    """-sum y log softmax(f) a sample."""
    return _call("cross_entropy", output, target, reduction)


def draw_direction(sample_ids, classes, *, step=0, seed=1, v_distribution="sphere"):
    """The random unit vectors v of QMSE, float32 [len(sample_ids), classes]."""
    sample_ids = _ids(sample_ids)
    if sample_ids.ndim != 1:
        raise ValueError(f"sample_ids must have one dimension, not the shape {list(sample_ids.shape)}")
    classes = _options.check_whole("classes", classes, 2**30 + 1)
    seed = _options.check_seed(seed)
    like = jnp.zeros((sample_ids.shape[0], classes), jnp.float32)
    call = jax.ffi.ffi_call("qmse_direction", jax.ShapeDtypeStruct(like.shape, like.dtype), vmap_method="sequential")
    return call(
        like,
        sample_ids,
        _step_words(step),
        seed=np.int64(seed - 2**64 if seed >= 2**63 else seed),
        v_distribution=np.int64(_options.index_of("v_distribution", v_distribution, _options.DISTRIBUTIONS)),
    )
