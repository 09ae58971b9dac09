"""Records of runs as tables of pandas, traces and snapshots as arrays."""
import os
import re
import typing
import warnings

from qmse.io import _files


def _pandas():
    try:
        import pandas
    except ImportError:
        raise ImportError("qmse.io reads runs into tables of pandas, which is not installed: pip install pandas") from None
    return pandas


def _value(value):
    """A setting as a cell of a table: lists become tuples, which can be grouped by."""
    return tuple(value) if isinstance(value, list) else value


# Columns of an epoch that would else have the name of a setting.
_RENAMED = {"lr": "epoch_lr"}


def _rows(directory, first):
    """The rows of a run: the columns of `first`, the settings, how it ended, and an epoch's figures."""
    config = _files.read_json(os.path.join(directory, "config.json"))
    epochs = _files.read_json_lines(os.path.join(directory, "metrics.jsonl"))
    outcome = os.path.join(directory, "outcome.json")
    end = _files.read_json(outcome).get("end") if os.path.exists(outcome) else None
    common = {**first, **{key: _value(value) for key, value in config.items()}, "end": end}
    return [{**common, **{_RENAMED.get(key, key): value for key, value in epoch.items()}} for epoch in epochs]


def _find(folder):
    """Run directories at or below a folder, in the order of their paths; links to folders are not followed."""
    for here, folders, files in os.walk(folder, onerror=_raise):
        folders.sort()
        if "config.json" in files and "metrics.jsonl" in files:
            yield here


def _raise(error):
    raise error


def _table(rows, unreadable):
    for directory, reason in unreadable:
        warnings.warn(f"'{directory}' is left out: {reason}", stacklevel=3)
    table = _pandas().DataFrame(rows)
    table.attrs["unreadable"] = unreadable
    return table


def read_runs(path):
    """Every run at or below `path` as a table with a row an epoch.

    Columns: `run`, its path below `path`; each setting by its name; `end` (how it ended; None while it goes on); the
    figures of metrics.jsonl, of which the epoch's last learning rate is called epoch_lr. Figures that are not finite
    are NaN. Runs that cannot be read are left out with a warning, and listed in .attrs["unreadable"].
    """
    path = os.fspath(path)
    rows, unreadable = [], []
    for directory in _find(path):
        try:
            rows += _rows(directory, {"run": os.path.relpath(directory, path)})
        except (OSError, ValueError) as error:
            unreadable.append((directory, str(error)))
    if not rows and not unreadable:
        raise ValueError(f"'{path}' holds no run with an epoch; give a run directory or a folder of them")
    return _table(rows, unreadable)


def read_sweep(path):
    """A sweep as a table with a row an epoch of each member, and the columns of read_runs().

    `member` is its name and `status` finished, failed, running or pending. .attrs["members"] lists all members,
    those without an epoch too, with their errors.
    """
    path = os.fspath(path)
    results = _files.read_json(os.path.join(path, "results.json"))
    rows, unreadable, members = [], [], []
    for member in results["members"]:
        settings = {key: _value(value) for key, value in member["settings"].items()}
        members.append({"member": member["name"], "status": member["status"], "error": member.get("error"), **settings})
        directory = os.path.join(path, member["directory"])
        if not os.path.exists(os.path.join(directory, "metrics.jsonl")):
            continue
        try:
            rows += _rows(directory, {"member": member["name"], "status": member["status"], "run": member["directory"]})
        except (OSError, ValueError) as error:
            unreadable.append((directory, str(error)))
    table = _table(rows, unreadable)
    table.attrs["members"] = members  # not a table: pandas compares attrs, and tables do not compare
    return table


class Trace(typing.NamedTuple):
    """What `qmse trace` wrote: arrays by name (docs/architecture.md), the settings, and the network's description."""

    tensors: dict
    config: dict
    model: dict


def read_trace(path):
    """A step as `qmse trace` wrote it: input, target, output, residual, v, sample_loss, loss, grad.*, param.*, activation.*."""
    tensors, metadata = _files.read_safetensors(path)
    config, model = (_files.metadata_json(path, metadata, key) for key in ("qmse.config", "qmse.model"))
    if "output" not in tensors:
        raise ValueError(f"'{path}' holds weights and no traced step; qmse trace writes one")
    return Trace(tensors, config, model)


def read_snapshots(run):
    """The weights that a run with --snapshot-every kept: (epoch, {name: array}) in the order of the epochs, read one by one."""
    folder = os.path.join(os.fspath(run), "snapshots")
    epochs = {}
    for name in os.listdir(folder):
        match = re.fullmatch(r"epoch-(\d+)\.safetensors", name)
        if match:
            epochs[int(match[1])] = os.path.join(folder, name)
    return ((epoch, _files.read_safetensors(epochs[epoch])[0]) for epoch in sorted(epochs))
