"""libqmse_loss.so by ctypes: the structure of its C interface (qmse/include/qmse_loss.h), and codes made exceptions."""
import ctypes
import os

from qmse import __version__

ABI_VERSION = 2
FLOAT32, FLOAT64, INT32, INT64 = range(4)


class LossArgs(ctypes.Structure):
    """qmse_loss_args."""

    _fields_ = [
        ("size", ctypes.c_uint64),
        ("loss", ctypes.c_int32),
        ("dtype", ctypes.c_int32),
        ("batch", ctypes.c_int64),
        ("classes", ctypes.c_int64),
        ("outputs", ctypes.c_void_p),
        ("labels", ctypes.c_void_p),
        ("targets", ctypes.c_void_p),
        ("label_dtype", ctypes.c_int32),
        ("sample_id_dtype", ctypes.c_int32),
        ("sample_ids", ctypes.c_void_p),
        ("step", ctypes.c_void_p),
        ("seed", ctypes.c_uint64),
        ("v_distribution", ctypes.c_int32),
        ("v_scope", ctypes.c_int32),
        ("q_gradient", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("loss_scale", ctypes.c_double),
        ("gradient_scale", ctypes.c_double),
        ("sample_loss", ctypes.c_void_p),
        ("mean_loss", ctypes.c_void_p),
        ("gradient", ctypes.c_void_p),
        ("residual_sq", ctypes.c_void_p),
        ("correct", ctypes.c_void_p),
        ("v", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("workspace_bytes", ctypes.c_uint64),
    ]


def _load():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "libqmse_loss.so")
    try:
        loaded = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(f"qmse {__version__}: its library cannot be loaded ({error}); install the package again: pip install ./python") from None
    found = loaded.qmse_abi_version()
    if found != ABI_VERSION:
        raise ImportError(f"qmse {__version__} needs version {ABI_VERSION} of the interface of libqmse_loss.so; {path} has version {found}")
    loaded.qmse_last_error.restype = ctypes.c_char_p
    args, void, number = ctypes.POINTER(LossArgs), ctypes.c_void_p, ctypes.c_int64
    loaded.qmse_loss_cpu.argtypes = [args]
    loaded.qmse_loss_cuda.argtypes = [args, ctypes.c_int32, void]
    loaded.qmse_loss_workspace_bytes.argtypes = [args, ctypes.POINTER(ctypes.c_uint64)]
    loaded.qmse_draw_direction.argtypes = [ctypes.c_int32, ctypes.c_uint64, ctypes.c_uint64, void, number, number, void]
    loaded.qmse_epoch_order.argtypes = [ctypes.c_uint64, ctypes.c_uint32, number, void]
    return loaded


library = _load()
_EXCEPTIONS = {1: ValueError, 2: ValueError, 3: RuntimeError, 4: MemoryError, 5: ValueError}


def check(status):
    if status != 0:
        raise _EXCEPTIONS.get(status, RuntimeError)(library.qmse_last_error().decode("utf-8", "replace"))


def loss_cpu(args):
    check(library.qmse_loss_cpu(ctypes.byref(args)))


def loss_cuda(args, device, stream):
    check(library.qmse_loss_cuda(ctypes.byref(args), device, stream))


def workspace_bytes(args):
    count = ctypes.c_uint64()
    check(library.qmse_loss_workspace_bytes(ctypes.byref(args), ctypes.byref(count)))
    return count.value


def draw_direction(distribution, seed, step, sample_ids, count, classes, v):
    """Addresses of int64 sample ids (or None) and of f32 v."""
    check(library.qmse_draw_direction(distribution, seed, step, sample_ids, count, classes, v))


def epoch_order(seed, epoch, count, order):
    check(library.qmse_epoch_order(seed, epoch, count, order))
