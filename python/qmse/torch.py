"""The losses for PyTorch, on the CPU (float32, float64) and on NVIDIA GPUs (float32).

    criterion = qmse.torch.QMSE(seed=1).to(device)
    loss = criterion(model(images), labels, sample_ids=indices)

v depends on seed, step and the sample's id alone: torch.manual_seed() has no influence on it. See docs/python.md.
"""
import torch

from qmse import __version__, _library, _options

if tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) < (2, 4):
    raise ImportError(f"qmse {__version__} needs PyTorch 2.4 or later; this is PyTorch {torch.__version__}")

__all__ = ["qmse_loss", "mse_loss", "qmse_expected_loss", "mse_noise_loss", "cross_entropy_loss", "draw_direction", "QMSE"]

_FLOATS = {torch.float32: _library.FLOAT32, torch.float64: _library.FLOAT64}
_INTEGERS = {torch.int32: _library.INT32, torch.int64: _library.INT64}

# --- The operators ---------------------------------------------------------------------------------------------------

_operators = torch.library.Library("qmse", "DEF")
_operators.define(
    "loss(Tensor output, Tensor target, Tensor? sample_ids, Tensor? step, str loss, str reduction, int seed, "
    "str v_distribution, str v_scope, str q_gradient, bool with_gradient) -> (Tensor value, Tensor gradient)"
)
_operators.define(
    "direction(Tensor like, Tensor? sample_ids, Tensor step, int seed, str v_distribution, str v_scope) -> Tensor"
)


def _signed(seed):
    """Operators take signed 64-bit numbers."""
    return seed - 2**64 if seed >= 2**63 else seed


def _pointer(tensor):
    return None if tensor is None else tensor.data_ptr()


def _run(args, output, keep):
    """Calls the library for tensors on output's device. `keep` holds what must live until then."""
    args.dtype = _FLOATS[output.dtype]
    if output.device.type == "cuda":
        size = _library.workspace_bytes(args)
        workspace = torch.empty(size, dtype=torch.uint8, device=output.device)
        args.workspace, args.workspace_bytes = workspace.data_ptr(), size
        index = output.device.index
        _library.loss_cuda(args, index, torch.cuda.current_stream(index).cuda_stream)
    else:
        args.threads = torch.get_num_threads()
        _library.loss_cpu(args)
    del keep


def _set_draws(args, sample_ids, step):
    args.step = _pointer(step)
    if sample_ids is not None:
        args.sample_ids, args.sample_id_dtype = sample_ids.data_ptr(), _INTEGERS[sample_ids.dtype]


def _loss_impl(output, target, sample_ids, step, loss, reduction, seed, v_distribution, v_scope, q_gradient, with_gradient):
    output, target = output.contiguous(), target.contiguous()
    sample_ids = None if sample_ids is None else sample_ids.contiguous()
    batch, classes = output.shape
    value = output.new_empty((batch,) if reduction == "none" else ())
    gradient = torch.empty_like(output) if with_gradient else output.new_empty(0)
    args = _options.new_args(loss, reduction, batch, classes, seed % 2**64, v_distribution, v_scope, q_gradient)
    args.outputs = output.data_ptr()
    if target.dtype in _INTEGERS:
        args.labels, args.label_dtype = target.data_ptr(), _INTEGERS[target.dtype]
    else:
        args.targets = target.data_ptr()
    _set_draws(args, sample_ids, step)
    if with_gradient:
        args.gradient = gradient.data_ptr()
    if reduction == "none":
        args.sample_loss = value.data_ptr()
    else:
        args.mean_loss = value.data_ptr()
    _run(args, output, (target, sample_ids, step))
    return value, gradient


def _direction_impl(like, sample_ids, step, seed, v_distribution, v_scope):
    sample_ids = None if sample_ids is None else sample_ids.contiguous()
    batch, classes = like.shape
    v = torch.empty((batch, classes), dtype=like.dtype, device=like.device)
    args = _options.new_args("qmse", "none", batch, classes, seed % 2**64, v_distribution, v_scope)
    zeros = torch.zeros_like(v)  # QMSE of whatever outputs draws v
    args.outputs = args.targets = zeros.data_ptr()
    args.v = v.data_ptr()
    _set_draws(args, sample_ids, step)
    _run(args, zeros, (sample_ids, step))
    return v


for _device in ("CPU", "CUDA"):
    _operators.impl("loss", _loss_impl, _device)
    _operators.impl("direction", _direction_impl, _device)


@torch.library.register_fake("qmse::loss")
def _loss_fake(output, target, sample_ids, step, loss, reduction, seed, v_distribution, v_scope, q_gradient, with_gradient):
    value = output.new_empty((output.shape[0],) if reduction == "none" else ())
    return value, output.new_empty(output.shape) if with_gradient else output.new_empty(0)


@torch.library.register_fake("qmse::direction")
def _direction_fake(like, sample_ids, step, seed, v_distribution, v_scope):
    return like.new_empty(like.shape)


def _each(info, in_dims, arguments, call):
    """call() for each element of a vmapped dimension, one after the other, so that every one has the bits it has alone."""

    def element(argument, dim, i):
        return argument if dim is None else argument.select(dim, i)

    results = [call(*(element(a, d, i) for a, d in zip(arguments, in_dims))) for i in range(info.batch_size)]
    if isinstance(results[0], tuple):
        return tuple(torch.stack(parts) for parts in zip(*results)), (0,) * len(results[0])
    return torch.stack(results), 0


if hasattr(torch.library, "register_vmap"):  # 2.5: vmap of the operators themselves; the functions below bring their own
    torch.library.register_vmap("qmse::loss", lambda info, dims, *a: _each(info, dims, a, torch.ops.qmse.loss))
    torch.library.register_vmap("qmse::direction", lambda info, dims, *a: _each(info, dims, a, torch.ops.qmse.direction))
if hasattr(torch.library, "register_autocast"):  # 2.7: likewise
    for _device in ("cpu", "cuda"):
        torch.library.register_autocast("qmse::loss", _device, torch.float32)

# --- Derivatives -----------------------------------------------------------------------------------------------------


class _Loss(torch.autograd.Function):
    """The operator with its first derivative, which it has already calculated."""

    @staticmethod
    def forward(output, target, sample_ids, step, *options):
        return torch.ops.qmse.loss(output, target, sample_ids, step, *options)

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        output, target, sample_ids, step, *ctx.options = inputs
        ctx.mark_non_differentiable(outputs[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(output, target, sample_ids, step, outputs[1])

    @staticmethod
    def backward(ctx, of_value, _):
        none = (None,) * 10
        if of_value is None:
            return None, *none
        output, target, sample_ids, step, gradient = ctx.saved_tensors
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # someone will differentiate again
            gradient = _Gradient.apply(output, target, sample_ids, step, gradient, *ctx.options)
        return gradient * (of_value.unsqueeze(-1) if of_value.dim() == 1 else of_value), *none

    @staticmethod
    def vmap(info, in_dims, *inputs):
        return _each(info, in_dims, inputs, _Loss.apply)


class _Gradient(torch.autograd.Function):
    """The first derivative as a function of the outputs, with its derivative."""

    @staticmethod
    def forward(output, target, sample_ids, step, gradient, *options):
        return gradient.clone()

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        output, target, sample_ids, step, _, *ctx.options = inputs
        ctx.save_for_backward(output, target, sample_ids, step)

    @staticmethod
    def backward(ctx, u):
        return _hessian_product(*ctx.saved_tensors, *ctx.options, u), *(None,) * 11

    @staticmethod
    def vmap(info, in_dims, *inputs):
        return _each(info, in_dims, inputs, _Gradient.apply)


def _hessian_product(output, target, sample_ids, step, loss, reduction, seed, v_distribution, v_scope, q_gradient, _, u):
    """The second derivative with respect to the outputs times u, row by row, of operations that PyTorch differentiates."""
    if loss == "qmse_expected":
        raise RuntimeError(
            "qmse_expected_loss cannot be differentiated twice: its gradient is QMSE's expected step, which is not the gradient of its value"
        )
    if loss == "mse_noise":
        raise RuntimeError("mse_noise_loss cannot be differentiated twice: its gradient is MSE's and noise, which is not the gradient of its value")
    if loss == "qmse" and q_gradient == "constant":
        raise RuntimeError(
            "qmse_loss with q_gradient='constant' cannot be differentiated twice: Q is held constant, so its gradient is that of no function; "
            "use q_gradient='full'"
        )
    scale = _options.scales(reduction, *output.shape)[1]
    dense = target.is_floating_point()
    if loss == "mse":
        return scale * u
    if loss == "cross_entropy":
        p = torch.softmax(output, 1)
        total = target.sum(1, keepdim=True) if dense else 1.0
        return scale * total * p * (u - (p * u).sum(1, keepdim=True))
    y = target if dense else torch.nn.functional.one_hot(target.long(), output.shape[1]).to(output.dtype)
    r = y - output
    v = torch.ops.qmse.direction(output.detach(), sample_ids, step, seed, v_distribution, v_scope)
    a = ((r + v) * r).sum(1, keepdim=True)
    m = 2 * r + v  # minus the gradient of a
    return scale * (m * (m * u).sum(1, keepdim=True) + 2 * a * u)


# --- What is called --------------------------------------------------------------------------------------------------


def _check_ids(sample_ids, device):
    if sample_ids is None:
        return
    if not isinstance(sample_ids, torch.Tensor) or sample_ids.dtype not in _INTEGERS:
        kind = sample_ids.dtype if isinstance(sample_ids, torch.Tensor) else type(sample_ids).__name__
        raise TypeError(f"sample_ids must be a tensor of int32 or int64, not {kind}")
    if sample_ids.device != device:
        raise TypeError(f"sample_ids must be on {device}, not on {sample_ids.device}")


def _step_tensor(step, device):
    if not isinstance(step, torch.Tensor):
        return torch.full((), _options.check_whole("step", step, 2**63), dtype=torch.int64, device=device)
    if step.dtype != torch.int64 or step.dim() != 0:
        raise TypeError(f"step must be a whole number or a tensor of int64 without dimensions, not {step.dtype} {list(step.shape)}")
    if step.device != device:
        raise TypeError(f"step must be on {device}, not on {step.device}")
    return step


def _call(loss, output, target, reduction, sample_ids=None, step=None, seed=0, v_distribution="sphere", v_scope="per_sample", q_gradient="constant"):
    _options.check_options(loss, reduction, v_distribution, v_scope, q_gradient)
    if not isinstance(output, torch.Tensor) or not isinstance(target, torch.Tensor):
        raise TypeError("output and target must be tensors")
    kind = output.device.type
    if kind not in ("cpu", "cuda"):
        raise TypeError(f"output must be on the CPU or a CUDA device, not on {output.device}")
    if output.dtype in (torch.float16, torch.bfloat16) and torch.is_autocast_enabled(kind):
        output = output.float()  # losses are calculated in float32, as PyTorch's own under autocast
        target = target.float() if target.is_floating_point() else target
    if output.dtype not in _FLOATS or (kind == "cuda" and output.dtype != torch.float32):
        allowed = "float32" if kind == "cuda" else "float32 or float64"
        raise TypeError(f"output must be {allowed} on {kind}, not {output.dtype} (or be calculated under torch.autocast)")
    labels = target.dtype in _INTEGERS
    if not labels and target.dtype != output.dtype:
        raise TypeError(f"target must be labels of int32 or int64, or dense targets of output's {output.dtype}, not {target.dtype}")
    if target.device != output.device:
        raise TypeError(f"target must be on {output.device} as output is, not on {target.device}")
    if not labels and target.requires_grad:
        raise ValueError("target must not require a gradient: the losses are differentiated with respect to output alone; use target.detach()")
    _check_ids(sample_ids, output.device)
    _options.check_shapes(output.shape, target.shape, labels, None if sample_ids is None else sample_ids.shape)
    with_gradient = output.requires_grad and torch.is_grad_enabled()
    options = (loss, reduction, _signed(seed), v_distribution, v_scope, q_gradient, with_gradient or _in_transform())
    return _Loss.apply(output, target, sample_ids, step, *options)[0]


def _in_transform():
    """Within torch.func's grad, tensors do not say that a gradient is wanted of them."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def qmse_loss(
    output, target, *, sample_ids=None, step=0, seed=1, reduction="batch_mean", v_distribution="sphere", v_scope="per_sample", q_gradient="constant"
):
    """QMSE: 1/2 r^T Q r a sample, r = y - f, Q = (r + v)(r + v)^T, v a random unit vector.

    output: f [batch, classes]. target: labels [batch] (int32, int64), or dense targets y like output.
    sample_ids: [batch] indices in the data set (int32, int64), from which v is drawn; without them the positions in
    the batch. step: a whole number, or a tensor of int64 on output's device.
    reduction: "batch_mean", "element_mean" (times 2 / classes, the scale of torch.nn.MSELoss) or "none".
    q_gradient: "constant" holds Q constant in the gradient, as the paper does; "full" differentiates Q too.
    """
    if isinstance(output, torch.Tensor):
        step = _step_tensor(step, output.device)
    if q_gradient == "full":
        step = step.clone()  # drawn from again where it is differentiated twice, whatever happens to the caller's
    return _call("qmse", output, target, reduction, sample_ids, step, _options.check_seed(seed), v_distribution, v_scope, q_gradient)


def mse_loss(output, target, *, reduction="batch_mean"):
    """1/2 ||r||^2 a sample; with reduction "element_mean" torch.nn.functional.mse_loss."""
    return _call("mse", output, target, reduction)


def qmse_expected_loss(output, target, *, reduction="batch_mean"):
    """QMSE without its noise: value 1/2 (||r||^4 + ||r||^2 / c), and as gradient QMSE's expected one, -(||r||^2 + 1/c) r."""
    return _call("qmse_expected", output, target, reduction)


def mse_noise_loss(output, target, *, sample_ids=None, step=0, seed=1, reduction="batch_mean", v_distribution="sphere", v_scope="per_sample"):
    """MSE with the noise of QMSE: value 1/2 ||r||^2, and as gradient MSE's with QMSE's less its expectation, -(r + Qr - (||r||^2 + 1/c) r).

    The options are those of qmse_loss().
    """
    if isinstance(output, torch.Tensor):
        step = _step_tensor(step, output.device)
    return _call("mse_noise", output, target, reduction, sample_ids, step, _options.check_seed(seed), v_distribution, v_scope)


def cross_entropy_loss(output, target, *, reduction="batch_mean"):
    """-sum y log softmax(f) a sample."""
    return _call("cross_entropy", output, target, reduction)


def draw_direction(sample_ids, classes, *, step=0, seed=1, v_distribution="sphere", dtype=torch.float32):
    """The random unit vectors v of QMSE [len(sample_ids), classes], on sample_ids' device."""
    _check_ids(sample_ids, sample_ids.device if isinstance(sample_ids, torch.Tensor) else None)
    if sample_ids is None or sample_ids.dim() != 1:
        raise ValueError("sample_ids must be a tensor with one dimension")
    _options.index_of("v_distribution", v_distribution, _options.DISTRIBUTIONS)
    if dtype not in _FLOATS:
        raise TypeError(f"dtype must be torch.float32 or torch.float64, not {dtype}")
    classes = _options.check_whole("classes", classes, 2**30 + 1)
    like = torch.empty((len(sample_ids), classes), dtype=torch.float32, device=sample_ids.device)
    v = torch.ops.qmse.direction(
        like, sample_ids, _step_tensor(step, sample_ids.device), _signed(_options.check_seed(seed)), v_distribution, "per_sample"
    )
    return v.to(dtype)


class QMSE(torch.nn.Module):
    """QMSE as a module that counts its steps.

    In training mode each call draws the v of `step`, a tensor on the module's device, which it then counts up: a
    captured CUDA graph sees it change, and nothing is compiled again. In evaluation mode the value is the closed form,
    qmse_expected_loss(). `step` is part of state_dict(), so that a training that goes on draws what it would have drawn.
    """

    def __init__(self, *, seed=1, reduction="batch_mean", v_distribution="sphere", v_scope="per_sample", q_gradient="constant", device=None):
        super().__init__()
        _options.check_options("qmse", reduction, v_distribution, v_scope, q_gradient)
        self.seed = _options.check_seed(seed)
        self.reduction, self.v_distribution, self.v_scope, self.q_gradient = reduction, v_distribution, v_scope, q_gradient
        self.register_buffer("step", torch.zeros((), dtype=torch.int64, device=device))

    def forward(self, output, target, sample_ids=None):
        if not self.training:
            return qmse_expected_loss(output, target, reduction=self.reduction)
        step = self.step.clone()
        self.step.add_(1)
        return qmse_loss(
            output,
            target,
            sample_ids=sample_ids,
            step=step,
            seed=self.seed,
            reduction=self.reduction,
            v_distribution=self.v_distribution,
            v_scope=self.v_scope,
            q_gradient=self.q_gradient,
        )

    def extra_repr(self):
        names = ("seed", "reduction", "v_distribution", "v_scope", "q_gradient")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
