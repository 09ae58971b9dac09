#!/usr/bin/env python3
"""Compares qmse with PyTorch: traced steps tensor by tensor, a few optimizer steps, and whole trainings step by step.

    oracle.py QMSE_PROGRAM [DEVICE]

The order of images and v are calculated here a second time, and must agree bit for bit.
PyTorch calculates in f64 from the trace's own inputs, weights and v. Against an f64 trace everything must agree to 1e-9; against an f32
trace values to 1e-5 and gradients to 1e-4, with the ReLU and pooling choices taken from the trace. Errors are relative to the
largest element of each tensor.
"""
import itertools
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

try:
    import torch
except ImportError as error:
    if os.environ.get("CI"):
        sys.exit(f"oracle: PyTorch is missing, which is a failure in CI: {error}")
    print(f"[skipped: PyTorch is missing: {error}]")
    sys.exit(0)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import follow
import random_numbers
import reference
import safetensors

DEVICE = sys.argv[2] if len(sys.argv) > 2 else "cpu"
DTYPES = ("f64", "f32") if DEVICE == "cpu" else ("f32",)
failures = 0
worst = {}


def check(group, label, ours, theirs, tolerance):
    """Relative to the largest element; of two tensors of zeros nothing is asked but that both are."""
    global failures
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    scale = np.abs(theirs).max()
    error = np.inf if ours.shape != theirs.shape else np.abs(ours - theirs).max() / (scale if scale > 0 else 1.0)
    worst[group] = max(worst.get(group, 0.0), error)
    if not error <= tolerance:
        failures += 1
        print(f"FAILED {label}: error {error:.3g}, allowed {tolerance:g}, shapes {ours.shape} and {theirs.shape}")


def write_idx(path, array):
    with open(path, "wb") as file:
        file.write(bytes([0, 0, 8, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape) + array.tobytes())


def write_mnist(root, side, count, seed):
    """A random data set in MNIST's files; `side` need not be even, so pooling drops a row."""
    random = np.random.default_rng(seed)
    folder = os.path.join(root, "mnist")
    os.makedirs(folder)
    for prefix, n in (("train", count), ("t10k", 4)):
        write_idx(f"{folder}/{prefix}-images-idx3-ubyte", random.integers(0, 256, (n, side, side), np.uint8))
        write_idx(f"{folder}/{prefix}-labels-idx1-ubyte", random.integers(0, 10, n, np.uint8))


class Program:
    def __init__(self, path, folder):
        self.path, self.folder, self.calls = path, folder, 0

    def run(self, *arguments):
        done = subprocess.run([self.path, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"oracle: {' '.join(map(str, arguments))} gave {done.returncode}: {done.stderr}")
        return done.stdout

    def fresh(self, name):
        self.calls += 1
        return os.path.join(self.folder, f"{name}-{self.calls}")

    def trace(self, options):
        out = self.fresh("trace")
        self.run("trace", *options, "--out", out)
        return safetensors.read(out)

    def train(self, options):
        out = self.fresh("run")
        self.run("train", *options, "--out", out)
        return out


def check_random(label, tensors, config, data, step=1):
    """The batch and v of a trace, bit for bit."""
    global failures
    labels = follow.read_images(config, data)[1]
    samples = random_numbers.order(config["seed_data"], 0, len(labels))[: config["batch_size"]]
    same = np.array_equal(tensors["target"], labels[samples])
    if "v" in tensors:
        v = random_numbers.directions(config, step - 1, samples, tensors["v"].shape[1])
        same = same and np.array_equal(tensors["v"].astype(np.float32).view(np.uint32), v.view(np.uint32))
    if not same:
        failures += 1
        print(f"FAILED {label}: the batch or v differ from the published description")


def compare_trace(label, tensors, metadata, dtype, data):
    f64 = dtype == "f64"
    check_random(label, tensors, json.loads(metadata["qmse.config"]), data)
    model = json.loads(metadata["qmse.model"])
    results = reference.step(tensors, metadata, choices=reference.Choices(None if f64 else tensors))
    inputs = {"input", "target", "v"} | {name for name in tensors if name.startswith("param.")}
    if set(results) | inputs != set(tensors) | inputs or not inputs - {"v"} <= set(tensors):
        sys.exit(f"oracle: {label}: the trace holds {sorted(tensors)}, expected {sorted(set(results) | inputs)}")
    for name, result in results.items():
        gradient = name.startswith("grad.")
        tolerance = 1e-9 if f64 else 1e-4 if gradient else 1e-5
        check(f"{dtype} {'gradients' if gradient else 'values'}", f"{label} {name}", tensors[name], result, tolerance)
    assert tensors["input"].shape[1:] == tuple(model["input_shape"])
    assert tensors["input"].dtype == (np.float64 if f64 else np.float32) and tensors["target"].dtype == np.int64
    if "v" in tensors:
        lengths = np.linalg.norm(tensors["v"].astype(np.float64), axis=1)
        check("length of v", f"{label} |v|", lengths, np.ones_like(lengths), 1e-6)


# What torch itself calls these losses, against our formulas for them.
def compare_with_torch_losses(label, tensors, config):
    output, target = torch.tensor(tensors["output"]), torch.tensor(tensors["target"])
    if config["loss"] == "mse" and config["reduction"] == "element_mean":
        one_hot = torch.nn.functional.one_hot(target, output.shape[1]).to(output.dtype)
        check("torch's losses", f"{label} MSELoss", tensors["loss"], [torch.nn.MSELoss()(output, one_hot)], 1e-9)
    if config["loss"] == "cross_entropy":
        check("torch's losses", f"{label} CrossEntropyLoss", tensors["loss"], [torch.nn.CrossEntropyLoss()(output, target)], 1e-9)


LOSSES = [["--loss", "mse"], ["--loss", "mse", "--reduction", "element_mean"], ["--loss", "cross_entropy"]] + [
    ["--loss", "qmse", "--v-distribution", v, "--v-scope", scope, "--q-gradient", q, "--reduction", reduction]
    for v, scope, q, reduction in itertools.product(
        ["sphere", "rademacher"], ["per_sample", "per_batch"], ["constant", "full"], ["batch_mean", "element_mean"]
    )
]
LOSSES += [["--loss", "qmse_expected"], ["--loss", "qmse_expected", "--reduction", "element_mean"]]
LOSSES += [["--loss", "mse_noise"], ["--loss", "mse_noise", "--v-distribution", "rademacher", "--v-scope", "per_batch", "--reduction", "element_mean"]]
QMSE = ["--loss", "qmse", "--seed-v", 6]
QMSE_RADEMACHER = ["--loss", "qmse", "--v-distribution", "rademacher"]
MODELS = {
    "cnn": ["--model", "cnn", "--conv-channels", "4,6", "--fc-width", "16"],
    "cnn of one 5x5 convolution": ["--model", "cnn", "--conv-channels", "3", "--kernel-size", "5", "--fc-width", "7"],
    "mlp": ["--model", "mlp", "--mlp-widths", "20,12"],
}
OTHER_MLPS = {
    activation: ["--model", "mlp", "--mlp-widths", "9", "--activation", activation] for activation in ("tanh", "sigmoid", "identity")
}
OTHER_MLPS["linear model"] = ["--model", "mlp", "--mlp-widths", "none"]


def traces(program, small, usual):
    common = ["--dataset", "mnist", "--device", DEVICE, "--threads", 2, "--seed", 3]
    for dtype in DTYPES:
        data = ["--data", small, "--batch-size", 7, "--dtype", dtype]
        cases = [(name, model, loss) for name, model in MODELS.items() for loss in LOSSES]
        cases += [(name, model, loss) for name, model in OTHER_MLPS.items() for loss in LOSSES[:4]]
        for name, model, loss in cases:
            label = f"{dtype} {name} {' '.join(loss[1::2])}"
            tensors, metadata = program.trace(common + data + model + loss)
            compare_trace(label, tensors, metadata, dtype, small)
            if dtype == "f64":
                compare_with_torch_losses(label, tensors, json.loads(metadata["qmse.config"]))
        for loss in LOSSES[1:4]:  # the default network at its usual size
            tensors, metadata = program.trace(common + ["--data", usual, "--batch-size", 10, "--dtype", dtype, *loss])
            compare_trace(f"{dtype} default cnn {' '.join(loss[1::2])}", tensors, metadata, dtype, usual)


OPTIMIZERS = {
    "sgd": (["--momentum", 0], lambda p: torch.optim.SGD(p, lr=0.05)),
    "sgd momentum": (["--momentum", 0.9], lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
    "sgd nesterov": (["--momentum", 0.8, "--nesterov"], lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True)),
    "sgd nesterov decay": (
        ["--momentum", 0.8, "--nesterov", "--weight-decay", 0.1],
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.1),
    ),
    # Not alpha 0.99 and epsilon 1e-8: the first step would be 10 lr sign(g), and a g near 0 has either sign.
    "rmsprop": (
        ["--optimizer", "rmsprop", "--rmsprop-alpha", 0.9, "--epsilon", 1e-2],
        lambda p: torch.optim.RMSprop(p, lr=0.05, alpha=0.9, eps=1e-2),
    ),
    "rmsprop momentum decay": (
        ["--optimizer", "rmsprop", "--rmsprop-alpha", 0.9, "--epsilon", 1e-4, "--rmsprop-momentum", 0.8, "--weight-decay", 0.1],
        lambda p: torch.optim.RMSprop(p, lr=0.05, alpha=0.9, eps=1e-4, momentum=0.8, weight_decay=0.1),
    ),
    "rmsprop centered": (
        ["--optimizer", "rmsprop", "--rmsprop-alpha", 0.7, "--rmsprop-centered", "--epsilon", 1e-2],
        lambda p: torch.optim.RMSprop(p, lr=0.05, alpha=0.7, centered=True, eps=1e-2),
    ),
    "rmsprop centered momentum": (
        ["--optimizer", "rmsprop", "--rmsprop-alpha", 0.7, "--rmsprop-centered", "--epsilon", 1e-2, "--rmsprop-momentum", 0.5],
        lambda p: torch.optim.RMSprop(p, lr=0.05, alpha=0.7, centered=True, eps=1e-2, momentum=0.5),
    ),
    "adam": (["--optimizer", "adam"], lambda p: torch.optim.Adam(p, lr=0.05)),
    "adam decay": (
        ["--optimizer", "adam", "--beta1", 0.7, "--beta2", 0.9, "--epsilon", 1e-4, "--weight-decay", 0.1],
        lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.7, 0.9), eps=1e-4, weight_decay=0.1),
    ),
}


def optimizer_steps(program, small, count):
    """Three steps over the whole small data set (one batch an epoch, so the order does not matter) with each optimizer; QMSE's v of each step
    comes from a trace. A smooth network, so that no ReLU changes sides between f32 and f64. Weights are compared by how far they moved."""
    common = ["--dataset", "mnist", "--data", small, "--device", DEVICE, "--batch-size", count, "--model", "mlp"]
    common += ["--mlp-widths", "16,8", "--activation", "tanh"]
    steps = 3
    for loss in (*LOSSES[:4], QMSE_RADEMACHER):
        traced = [program.trace(common + loss + (["--step", step] if "qmse" in loss else [])) for step in range(1, steps + 1)]
        tensors, metadata = traced[0]
        for name, (options, make) in OPTIMIZERS.items():
            parameters = reference.parameters_of(tensors)
            start = {key: value.detach().numpy().copy() for key, value in parameters.items()}
            optimizer = make(list(parameters.values()))
            for of_step, _ in traced:
                optimizer.zero_grad()
                reference.step({**tensors, **{key: of_step[key] for key in ("v",) if key in of_step}}, metadata, parameters)
                optimizer.step()
            run = program.train(common + loss + options + ["--lr", 0.05, "--epochs", steps])
            weights, _ = safetensors.read(os.path.join(run, "model.safetensors"))
            for key, parameter in parameters.items():
                moved = weights[key].astype(np.float64) - start[key]
                expected = parameter.detach().numpy() - start[key]
                check("optimizer steps", f"{name}, {' '.join(loss[1::2])}, {key}", moved, expected, 1e-4)


def fused_step(program, usual):
    """One plain SGD step of the default network, where training runs fused kernels: how far it moves is lr times the gradient."""
    common = ["--dataset", "mnist", "--data", usual, "--device", DEVICE, "--batch-size", 10]
    common += ["--train-limit", 10]  # one batch, whose order in the trace is the training's
    for loss in LOSSES[1:4]:
        tensors, metadata = program.trace(common + loss)
        expected = reference.step(tensors, metadata, choices=reference.Choices(tensors))
        run = program.train(common + loss + ["--momentum", 0, "--lr", 0.5, "--epochs", 1, "--log-steps", 1])
        weights, _ = safetensors.read(os.path.join(run, "model.safetensors"))
        with open(os.path.join(run, "steps.jsonl")) as file:
            logged = json.loads(file.readline())
        check("fused training step", f"{' '.join(loss[1::2])} loss", [logged["loss"]], expected["loss"], 1e-5)
        norm = np.sqrt(sum((value**2).sum() for key, value in expected.items() if key.startswith("grad.") and key != "grad.output"))
        check("fused training step", f"{' '.join(loss[1::2])} gradient norm", [logged["grad_norm"]], [norm], 1e-5)
        for key, weight in weights.items():
            moved = weight.astype(np.float64) - tensors["param." + key].astype(np.float64)
            check("fused training step", f"{' '.join(loss[1::2])} {key}", moved, -0.5 * expected["grad." + key], 1e-4)


def rejected_direction(program, small, count):
    """A v whose first draw was too short, which happens to one of 50,000."""
    options = ["--dataset", "mnist", "--data", small, "--device", DEVICE, "--batch-size", count, "--model", "mlp", "--mlp-widths", "none"]
    blocks, samples, seed = np.arange(3), np.arange(count), 3

    def rejected(step):
        n = random_numbers.normals(random_numbers.philox(seed, random_numbers.DIRECTION, 0, step, samples[:, None], blocks))
        return ((n.reshape(count, -1)[:, :10].astype(np.float64) ** 2).sum(1) < 0.6).any()

    step = next(step for step in range(1 << 20) if rejected(step)) + 1
    tensors, metadata = program.trace(options + ["--seed", seed, "--step", step])
    check_random(f"v drawn again in step {step}", tensors, json.loads(metadata["qmse.config"]), small, step)


TANH = ["--model", "mlp", "--mlp-widths", "16,8", "--activation", "tanh"]
TRAININGS = {  # what a trace takes too, and what only a training does
    "cnn, element mean": ([*MODELS["cnn"], *QMSE, "--reduction", "element_mean"], ["--lr", 0.1, "--momentum", 0.9]),
    "cnn, no momentum": ([*MODELS["cnn"], *QMSE], ["--lr", 0.05, "--momentum", 0]),
    "one v for the batch": ([*TANH, *QMSE, "--v-scope", "per_batch"], ["--lr", 0.02, "--momentum", 0.9]),
    "rademacher, nesterov, decay": (
        [*TANH, *QMSE, "--v-distribution", "rademacher", "--q-gradient", "full"],
        ["--lr", 0.02, "--momentum", 0.8, "--nesterov", "--weight-decay", 0.01],
    ),
    "without noise": ([*TANH, "--loss", "qmse_expected"], ["--lr", 0.02, "--momentum", 0.9]),
    "noise alone": ([*TANH, "--loss", "mse_noise"], ["--lr", 0.02, "--momentum", 0.9]),
    "mse": ([*TANH, "--loss", "mse"], ["--lr", 0.02, "--momentum", 0.9]),
}


def trainings(program, small):
    """Five epochs of ragged batches, in an order and with a v that PyTorch's side calculates by itself: every step's loss and gradient norm,
    and after the first epoch, a resumed second and a resumed fifth how far weights and momenta have moved."""
    for name, (options, training) in TRAININGS.items():
        common = ["--dataset", "mnist", "--data", small, "--device", DEVICE, "--seed", 4, "--seed-data", 2**40 + 5, "--batch-size", 7, *options]
        traced, _ = program.trace(common)
        weights = {key[len("param.") :]: value for key, value in traced.items() if key.startswith("param.")}
        out = program.fresh("followed")
        followed = None
        for end in (1, 2, 5):
            given = ["--resume", "--epochs", end] if followed else [*common, *training, "--epochs", end, "--log-steps", 1]
            program.run("train", *given, "--out", out)
            checkpoint, of_run = safetensors.read(os.path.join(out, "checkpoint.safetensors"))
            if followed is None:
                images, labels = follow.read_images(json.loads(of_run["qmse.config"]), small)
                followed = follow.Training(weights, of_run, images, labels, torch.float64)
            with open(os.path.join(out, "steps.jsonl")) as file:
                log = [json.loads(line) for line in file]
            for entry in log[followed.steps_done :]:
                seen = followed.step()
                check("followed training", f"{name}, step {entry['step']} loss", [entry["loss"]], [seen["loss"]], 1e-5)
                check("followed training", f"{name}, step {entry['step']} norm", [entry["grad_norm"]], [seen["grad_norm"]], 1e-4)
            check("followed training", f"{name}, steps", [len(log)], [followed.steps_done], 0)
            for key, parameter in followed.parameters.items():
                moved, expected = checkpoint[key] - weights[key].astype(np.float64), parameter.detach().numpy() - weights[key]
                check("followed training", f"{name}, epoch {end}, {key}", moved, expected, 1e-4)
                momentum = followed.optimizer.state[parameter].get("momentum_buffer")
                if momentum is not None:
                    check("followed training", f"{name}, epoch {end}, momentum of {key}", checkpoint[follow.MOMENTUM + key], momentum, 1e-4)


def jacobians(program, small):
    """Every row of the Jacobian that qmse inspect writes, of trained networks in f64."""
    for name, model in (*MODELS.items(), *OTHER_MLPS.items()):
        run = program.train(["--dataset", "mnist", "--data", small, "--device", DEVICE, "--seed", 5, "--batch-size", 7, "--epochs", 2, "--lr", 0.001, *model])
        file = program.fresh("jacobian")
        program.run("inspect", os.path.join(run, "model.safetensors"), "--data", small, "--samples", 5, "--unit-samples", 5, "--jacobian", file)
        tensors, metadata = safetensors.read(file)
        parameters = reference.parameters_of(tensors)
        output, _ = reference.forward(json.loads(metadata["qmse.model"]), parameters, torch.tensor(tensors["input"]), reference.Choices())
        check("jacobian", f"{name}, outputs", tensors["output"], output.detach(), 1e-9)
        for n in range(output.shape[0]):
            for i in range(output.shape[1]):
                rows = torch.autograd.grad(output[n, i], list(parameters.values()), retain_graph=True)
                for key, row in zip(parameters, rows):
                    check("jacobian", f"{name}, image {n}, output {i}, {key}", tensors["jacobian." + key][n, i], row, 1e-9)


def hessians(program, small):
    """The ends of MSE's Hessian that qmse inspect finds, beside the whole matrix' eigenvalues."""
    for name, model in {"cnn": ["--conv-channels", "2,3", "--fc-width", 4], "mlp": ["--model", "mlp", "--mlp-widths", "4"]}.items():
        run = program.train(["--dataset", "mnist", "--data", small, "--device", DEVICE, "--seed", 5, "--batch-size", 7, "--epochs", 2, "--lr", 0.001, *model])
        file, weights = program.fresh("jacobian"), os.path.join(run, "model.safetensors")
        found = json.loads(program.run("inspect", weights, "--data", small, "--samples", 9, "--unit-samples", 9, "--jacobian", file, "--json"))
        tensors, metadata = safetensors.read(file)
        parameters = reference.parameters_of(tensors)
        sizes = [value.numel() for value in parameters.values()]
        flat = torch.cat([value.detach().flatten() for value in parameters.values()])
        with open(os.path.join(run, "config.json")) as config:
            labels = follow.read_images(json.load(config), small)[1][:9]
        targets = torch.nn.functional.one_hot(torch.tensor(np.asarray(labels, np.int64)), tensors["output"].shape[1])

        def loss(w):
            pieces = dict(zip(parameters, (piece.view(value.shape) for piece, value in zip(w.split(sizes), parameters.values()))))
            output, _ = reference.forward(json.loads(metadata["qmse.model"]), pieces, torch.tensor(tensors["input"]), reference.Choices())
            return ((targets - output) ** 2).sum() / (2 * output.shape[0])

        eigenvalues = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, flat))
        scale = float(eigenvalues.abs().max())
        hessian = found["hessian"]
        for node, residual in zip(hessian["nodes"], hessian["residuals"]):
            nearest = eigenvalues[(eigenvalues - node).abs().argmin()]
            check("hessian", f"{name}, an eigenvalue within the residual of {node}", max(0.0, abs(float(nearest) - node) - residual) / scale, 0.0, 1e-6)
        check("hessian", f"{name}, largest", hessian["largest"], eigenvalues[-1], 1e-4)
        check("hessian", f"{name}, smallest", hessian["smallest"] / scale, eigenvalues[0] / scale, 1e-2)


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="qmse-oracle-") as folder:
        program = Program(sys.argv[1], folder)
        small, usual = os.path.join(folder, "small"), os.path.join(folder, "usual")
        write_mnist(small, 13, 24, seed=1)
        write_mnist(usual, 28, 40, seed=2)
        traces(program, small, usual)
        optimizer_steps(program, small, 24)
        fused_step(program, usual)
        rejected_direction(program, small, 24)
        trainings(program, small)
        jacobians(program, small)
        hessians(program, small)
        for group, error in sorted(worst.items()):
            print(f"{group}: largest relative error {error:.2e}")
        print(f"{program.calls} runs of qmse, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
