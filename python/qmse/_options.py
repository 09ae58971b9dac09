"""What the front ends share: names of choices, and the checks that need no array package."""
from qmse import _library

LOSSES = ("mse", "qmse", "qmse_expected", "cross_entropy", "mse_noise")
REDUCTIONS = ("batch_mean", "element_mean", "none")
DISTRIBUTIONS = ("sphere", "rademacher")
SCOPES = ("per_sample", "per_batch")
Q_GRADIENTS = ("constant", "full")


def index_of(name, value, choices):
    """The number of a choice in the C interface."""
    if value in choices:
        return choices.index(value)
    raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")


def check_options(loss, reduction, v_distribution, v_scope, q_gradient):
    index_of("loss", loss, LOSSES)
    index_of("reduction", reduction, REDUCTIONS)
    index_of("v_distribution", v_distribution, DISTRIBUTIONS)
    index_of("v_scope", v_scope, SCOPES)
    index_of("q_gradient", q_gradient, Q_GRADIENTS)
    if loss == "cross_entropy" and reduction == "element_mean":
        raise ValueError("reduction 'element_mean' does not go with cross-entropy; use 'batch_mean' or 'none'")


def check_whole(name, value, limit):
    """A whole number in [0, limit), as one of Python. (torch.compile follows the int branch.)"""
    if not isinstance(value, int) or isinstance(value, bool):
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
        value = value.__index__()
    if not 0 <= value < limit:
        raise ValueError(f"{name} must be 0 to {limit - 1}, not {value}")
    return value


def check_seed(seed):
    return check_whole("seed", seed, 2**64)


def check_shapes(output, target, labels, sample_ids):
    """Shapes as tuples; sample_ids may be None."""
    if len(output) != 2:
        raise ValueError(f"output must have the shape [batch, classes], not {list(output)}")
    if output[1] < 1:
        raise ValueError("output must have at least one class")
    if labels and tuple(target) != (output[0],):
        raise ValueError(f"labels must have the shape {[output[0]]} of output's batch, not {list(target)}")
    if not labels and tuple(target) != tuple(output):
        raise ValueError(f"dense targets must have output's shape {list(output)}, not {list(target)}")
    if sample_ids is not None and tuple(sample_ids) != (output[0],):
        raise ValueError(f"sample_ids must have the shape {[output[0]]} of output's batch, not {list(sample_ids)}")


def scales(reduction, batch, classes):
    """What the loss and its gradient are multiplied with."""
    loss = 2.0 / classes if reduction == "element_mean" else 1.0
    return loss, loss if reduction == "none" or batch == 0 else loss / batch


def new_args(loss, reduction, batch, classes, seed=0, v_distribution="sphere", v_scope="per_sample", q_gradient="constant"):
    """Arguments of the C interface without pointers and types."""
    args = _library.LossArgs(size=_library.ctypes.sizeof(_library.LossArgs), batch=batch, classes=classes, seed=seed)
    args.loss = LOSSES.index(loss)
    args.v_distribution = DISTRIBUTIONS.index(v_distribution)
    args.v_scope = SCOPES.index(v_scope)
    args.q_gradient = Q_GRADIENTS.index(q_gradient)
    args.loss_scale, args.gradient_scale = scales(reduction, batch, classes)
    return args
