"""Networks of the engine as modules of PyTorch, and back."""
import os
import tempfile

from qmse.io import _files

_CARD = ("qmse.model", "qmse.normalization", "qmse.class_names", "qmse.dataset")
_OPTIONAL = ("qmse.format", "qmse.labels", "qmse.loss", "qmse.reduction")


def load_model(path):
    """A network with its weights, as a torch.nn.Module that takes pixels (0 to 255) and normalises them as in training.

    path: a weights file, snapshot or checkpoint, a file of `qmse trace` (the weights of that step), or a run directory
    (its final weights). The parameters have the engine's names: conv1.weight, fc1.bias, ...; .outputs(x) takes images
    that are normalised already; .class_names, .description and .normalization are what the file says.
    """
    import torch

    from qmse.io import _modules

    path = os.fspath(path)
    if os.path.isdir(path):
        if not os.path.exists(os.path.join(path, "model.safetensors")):
            raise ValueError(f"'{path}' has no model.safetensors: the run has not finished; give its checkpoint or a snapshot")
        path = os.path.join(path, "model.safetensors")
    tensors, metadata = _files.read_safetensors(path)
    model = _modules.Network(
        *(_files.metadata_json(path, metadata, key) for key in _CARD[:3]), {key: metadata[key] for key in _CARD + _OPTIONAL if key in metadata}
    )
    if "output" in tensors and "input" in tensors:
        weights = {name[len("param.") :]: value for name, value in tensors.items() if name.startswith("param.")}
    else:
        weights = {name: value for name, value in tensors.items() if not name.startswith(("optimizer.", "training."))}
    try:
        model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
    except RuntimeError as error:
        raise ValueError(f"'{path}': its weights do not fit the network it describes: {error}") from None
    return model


def save_model(model, path):
    """Writes the weights of a module from load_model() as the engine does: `qmse evaluate --weights`, `qmse train --init-from` take the file."""
    import safetensors.torch

    card = getattr(model, "card", None)
    if card is None:
        raise TypeError(f"save_model takes a module from load_model(), not {type(model).__name__}: the file says what network it is")
    weights = {name: value.detach().to("cpu").float().contiguous() for name, value in model.state_dict().items()}
    path = os.fspath(path)
    # Replaced as a whole, so that nobody reads half a file.
    handle, temporary = tempfile.mkstemp(prefix=os.path.basename(path) + ".", dir=os.path.dirname(path) or ".")
    os.close(handle)
    try:
        safetensors.torch.save_file(weights, temporary, metadata={"format": "pt", **card})
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
