#!/usr/bin/env python3
"""Compares curvature that `qmse landscape spectrum` writes with torch.func's, in f64.

    curvature.py QMSE_PROGRAM

Of small networks the program has exact products (the R-operator); of models of `qmse train` central differences of gradients. It
writes the loss, the gradient's norm, all eigenvalues of the Hessian, and by Lanczos' method its ends, the top of the Gauss-Newton part
and both ends of the residual part. PyTorch differentiates the same loss twice, and the outputs once.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import oracle  # which says so where PyTorch is missing
import reference
import safetensors
import torch

if not hasattr(torch, "func"):  # before 2.0
    print(f"[skipped: PyTorch {torch.__version__} has no torch.func]")
    sys.exit(0)

TOLERANCE = {"exact": 1e-9, "differences": 1e-5}  # of the largest eigenvalue, loss or gradient

# Activations, losses, depths and numbers of samples that fill no vector.
NETWORKS = [
    ("tanh", "mse", "5", "classes:3", 45),
    ("tanh", "mse", "4,3", "projection:2", 133),
    ("sigmoid", "bce", "3,2,3", "classes:2", 31),
    ("identity", "mse", "3", "projection:2", 50),
    ("leaky_relu", "mse", "6", "projection:1", 30),
    ("relu", "bce", "4,4", "classes:2", 37),
]
# Options of `qmse train`, the loss that is looked at, and whether its products are exact.
MODELS = [
    (["--model", "cnn", "--conv-channels", "2,3", "--fc-width", "4", "--loss", "mse"], "own", "differences"),
    (["--model", "cnn", "--conv-channels", "2,3", "--fc-width", "4", "--loss", "qmse"], "cross_entropy", "differences"),
    (["--model", "mlp", "--mlp-widths", "3", "--activation", "tanh", "--loss", "cross_entropy"], "own", "differences"),
    (["--model", "mlp", "--mlp-widths", "3", "--activation", "tanh", "--loss", "qmse"], "mse", "exact"),
]
COUNT = 3
worst, failures = {}, 0


def spectrum(program, folder, options):
    """The records of the members by name, and the folder's points where it has some."""
    done = subprocess.run([program, "landscape", "spectrum", "--out", folder, "--probes", "2", "--count", str(COUNT), *map(str, options)],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"oracle: landscape spectrum {options} gave {done.returncode}: {done.stderr}")
    with open(folder / "members.jsonl") as file:
        return {tuple(line["member"].values()): line["record"] for line in map(json.loads, file)}


def compare(name, kind, records, w, outputs, loss_of_outputs, decay):
    """`outputs`: of the flat parameters w, any shape; `loss_of_outputs`: their loss without the penalty."""
    global failures

    def loss(v):
        return loss_of_outputs(outputs(v)) + decay / 2 * (v @ v)

    f = outputs(w)
    hessian = torch.func.hessian(loss)(w)
    jacobian = torch.func.jacrev(lambda v: outputs(v).flatten())(w)
    of_outputs = torch.func.hessian(lambda g: loss_of_outputs(g.reshape(f.shape)))(f.flatten())
    part = jacobian.T @ of_outputs @ jacobian + decay * torch.eye(len(w), dtype=w.dtype)
    values = {what: torch.linalg.eigvalsh(0.5 * (matrix + matrix.T)).numpy()
              for what, matrix in (("hessian", hessian), ("gauss-newton", part), ("residual", hessian - part))}
    scale = np.abs(values["hessian"]).max()
    top = records["hessian", "top"]
    gradient = torch.func.grad(loss)(w).norm().item()
    errors = {"loss": abs(top["loss"] - loss(w).item()) / abs(loss(w).item()), "gradient": abs(top["gradient"] - gradient) / gradient}
    errors["all eigenvalues"] = np.abs(np.array(records[(0,)]["values"]) - values["hessian"]).max() / scale
    for part, end in (member for member in records if len(member) == 2):
        ours = np.array(records[part, end]["values"])
        theirs = values[part][::-1][:COUNT] if end == "top" else values[part][:COUNT]
        errors[f"{end} of the {part}" + (" part" if part != "hessian" else "")] = np.abs(ours - theirs).max() / scale
    for what, error in errors.items():
        worst[kind, what] = max(worst.get((kind, what), 0.0), error)
        if not error <= TOLERANCE[kind]:
            failures += 1
            print(f"FAILED {name}: {what} differs by {error:.2e}, more than {TOLERANCE[kind]}")


def small_network(program, folder, activation, loss, hidden, labels, samples):
    records = spectrum(program, folder, ["--data-set", "gaussian", "--samples", samples, "--inputs", 4, "--labels", labels, "--hidden", hidden,
                                         "--activation", activation, "--loss", loss, "--start", "descent", "--pretraining", 40])
    tensors, metadata = safetensors.read(folder / "points.safetensors")
    x, y = (torch.tensor(tensors[name].copy()) for name in ("x", "y"))
    (point,) = set(tensors) - {"x", "y"}
    net, w = json.loads(metadata["network:" + point]), torch.tensor(tensors[point].copy())

    def outputs(v):
        at, a = 0, x
        for layer, (d, h) in enumerate(zip(net["widths"], net["widths"][1:])):
            a = v[at : at + d * h].reshape(h, d) @ a + v[at + d * h : at + d * h + h, None]
            at += d * h + h
            if layer < len(net["widths"]) - 2:
                a = torch.where(a > 0, a, net["leak"] * a) if activation == "leaky_relu" else reference.ACTIVATIONS[activation](a)
        return a

    def loss_of_outputs(f):
        return (torch.nn.functional.softplus(f) - y * f if loss == "bce" else 0.5 * (y - f) ** 2).sum(0).mean()

    name = f"{activation} {loss} {hidden} {labels}"
    compare(name, "exact", records, w, outputs, loss_of_outputs, net["weight_decay"])


def trained_model(program, folder, data, options, loss, kind):
    run = folder / "run"
    common = ["--dataset", "mnist", "--data", data, "--normalize", "unit", "--batch-size", "5", "--epochs", "2", "--device", "cpu"]
    done = subprocess.run([program, "train", *options, *map(str, common), "--out", run], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"oracle: train {options} gave {done.returncode}: {done.stderr}")
    samples = 21
    records = spectrum(program, folder / "spectrum", ["--weights", run, "--samples", samples, "--loss", loss])
    tensors, metadata = safetensors.read(run / "model.safetensors")
    model, config = json.loads(metadata["qmse.model"]), json.loads((run / "config.json").read_text())
    images, labels = oracle.follow.read_images(config, data)
    x = torch.tensor(np.asarray(images[:samples], np.float64) / 255).reshape(samples, *model["input_shape"])
    target = torch.tensor(np.asarray(labels[:samples], np.int64))
    shapes = {key: value.shape for key, value in tensors.items()}
    # The file's order of tensors is alphabetical or by layer; the flat vector's does not matter for eigenvalues.
    w = torch.tensor(np.concatenate([value.astype(np.float64).ravel() for value in tensors.values()]))
    looked_at = {"loss": config["loss"] if loss == "own" else loss, "reduction": "batch_mean"}

    def outputs(v):
        parameters, at = {}, 0
        for key, shape in shapes.items():
            parameters[key] = v[at : at + int(np.prod(shape))].reshape(shape)
            at += int(np.prod(shape))
        return reference.forward(model, parameters, x, reference.Choices())[0]

    compare(f"{' '.join(options)} {loss}", kind, records, w, outputs,
            lambda f: reference.losses(looked_at, f, target, None).mean(), 0.0)


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="qmse-oracle-") as root:
        root = pathlib.Path(root)
        for number, case in enumerate(NETWORKS):
            small_network(sys.argv[1], root / f"network-{number}", *case)
        oracle.write_mnist(root / "data", 9, 24, seed=3)
        for number, case in enumerate(MODELS):
            folder = root / f"model-{number}"
            folder.mkdir()
            trained_model(sys.argv[1], folder, root / "data", *case)
    for (kind, what), error in sorted(worst.items()):
        print(f"{kind}, {what}: largest relative difference {error:.1e}")
    print(f"{len(NETWORKS) + len(MODELS)} networks, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
