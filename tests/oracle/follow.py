#!/usr/bin/env python3
"""Follows a training of qmse in PyTorch, in f32 and f64, from one of its checkpoints: with its weights, momenta, order of images and v.

    follow.py record QMSE RUN FOLDER                     go on with the run, keeping the checkpoint of every step in FOLDER
    follow.py compare FOLDER --data DATA --log RUN/steps.jsonl --out OUT.csv

`compare` starts at the first checkpoint of FOLDER and writes a line a step. "free" columns: PyTorch goes on by itself, and the engine, f32 and
f64 drift apart. "single" columns: every step starts from the engine's checkpoint before it, so that what is compared is one gradient. Distances
are of all weights (momenta) together, |a - b| / |b|, from f64; those of PyTorch's f32 are the yardstick of rounding.
"""
import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import random_numbers
import reference
import safetensors

MOMENTUM = "optimizer.momentum."


def read_idx(path):
    with open(path, "rb") as file:
        content = file.read()
    sizes = [int.from_bytes(content[4 * i : 4 * i + 4], "big") for i in range(1, content[3] + 1)]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes)


def read_images(config, root):
    """Training images [N, C, H, W] in bytes and labels [N]: MNIST's files or CIFAR-10's."""
    if config["dataset"] == "mnist":
        images = read_idx(f"{root}/mnist/train-images-idx3-ubyte")[:, None]
        labels = read_idx(f"{root}/mnist/train-labels-idx1-ubyte")
    elif config["dataset"] == "cifar10":
        files = [np.fromfile(f"{root}/cifar-10-batches-bin/data_batch_{i}.bin", np.uint8) for i in range(1, 6)]
        records = np.concatenate(files).reshape(-1, 3073)
        images, labels = records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]
    else:
        sys.exit(f"follow: reads mnist and cifar10, not {config['dataset']}")
    if config.get("validation", 0):
        sys.exit("follow: knows no --validation: follow a run without")
    limit = config["train_limit"] or len(images)
    return images[:limit], labels[:limit].astype(np.int64)


def steps_done(tensors):
    """Of a checkpoint; its format 1 packs its numbers into one tensor. 0 for a weights file."""
    if "training.step" in tensors:
        return int(tensors["training.step"][0])
    return int(tensors["training.counts"][1]) if "training.counts" in tensors else 0


class Training:
    """SGD with a constant rate, from a checkpoint or, without momenta and position, from weights alone at step 0."""

    def __init__(self, tensors, metadata, images, labels, dtype):
        self.config, self.model = json.loads(metadata["qmse.config"]), json.loads(metadata["qmse.model"])
        self.normalization = json.loads(metadata["qmse.normalization"])
        self.images, self.labels, self.dtype = images, labels, dtype
        if self.config["optimizer"] != "sgd" or self.config["schedule"] != "constant":
            sys.exit("follow: knows SGD with a constant learning rate only")
        self.parameters = {
            name: torch.tensor(value, dtype=dtype, requires_grad=True)
            for name, value in tensors.items()
            if not name.startswith(("optimizer.", "training."))
        }
        settings = {name: self.config[name] for name in ("lr", "momentum", "weight_decay", "nesterov")}
        self.optimizer = torch.optim.SGD(self.parameters.values(), **settings)
        for name, parameter in self.parameters.items():
            if MOMENTUM + name in tensors:
                self.optimizer.state[parameter]["momentum_buffer"] = torch.tensor(tensors[MOMENTUM + name], dtype=dtype)
        self.steps_done = steps_done(tensors)
        self.epoch, self.order = None, None

    def batch(self):
        """Samples of the next step."""
        size = self.config["batch_size"]
        epoch, index = divmod(self.steps_done, -(-len(self.images) // size))
        if epoch != self.epoch:
            self.epoch, self.order = epoch, random_numbers.order(self.config["seed_data"], epoch, len(self.images))
        return self.order[index * size : (index + 1) * size]

    def inputs(self, samples):
        x = self.images[samples] / 255.0
        if self.normalization["kind"] == "standard":
            mean, stddev = (np.array(self.normalization[name])[:, None, None] for name in ("mean", "stddev"))
            x = (x - mean) / stddev
        return torch.tensor(x, dtype=self.dtype)

    def outputs(self, samples):
        return reference.forward(self.model, self.parameters, self.inputs(samples), reference.Choices())[0]

    def directions(self, samples, classes):
        if self.config["loss"] not in ("qmse", "mse_noise"):
            return None
        return torch.tensor(random_numbers.directions(self.config, self.steps_done, samples, classes), dtype=self.dtype)

    def step(self):
        """One step. What it saw before the weights changed: loss, gradient norm, ||r||^2 and a of every sample."""
        samples = self.batch()
        target = torch.tensor(self.labels[samples])
        output = self.outputs(samples)
        v = self.directions(samples, output.shape[1])
        self.optimizer.zero_grad()
        loss = reference.losses(self.config, output, target, v).mean()
        loss.backward()
        with torch.no_grad():
            norm = torch.sqrt(sum((p.grad.double() ** 2).sum() for p in self.parameters.values()))
            residual = F.one_hot(target, output.shape[1]).to(output.dtype) - output
            squared = (residual**2).sum(1)
            weight = squared + (v * residual).sum(1) if v is not None else torch.ones_like(squared)
        self.optimizer.step()
        self.steps_done += 1
        seen = {"loss": loss.item(), "grad_norm": norm.item(), "squared": squared.numpy(), "weight": weight.numpy()}
        return {"samples": samples, "residual": residual.numpy(), **seen}

    def weights(self):
        return np.concatenate([p.detach().double().numpy().ravel() for p in self.parameters.values()])

    def momenta(self):
        buffers = (self.optimizer.state[p].get("momentum_buffer") for p in self.parameters.values())
        return np.concatenate([b.double().numpy().ravel() for b in buffers])

    def curvature(self, samples, residual, iterations=12):
        """Largest eigenvalue of QMSE's expected Gauss-Newton matrix over these samples, in the scale of the mean loss:
        (1/B) sum of D_n^T ((||r_n||^2 + 1/c) I + 2 r_n r_n^T) D_n. Gradient descent with momentum beta is unstable along its
        eigenvector where lr times it is above 2 (1 + beta)."""
        parameters = list(self.parameters.values())
        output = self.outputs(samples)
        dummy = torch.zeros_like(output, requires_grad=True)
        pulled = torch.autograd.grad(output, parameters, dummy, create_graph=True)
        r = torch.tensor(residual, dtype=self.dtype)
        scale = (2.0 / r.shape[1] if self.config["reduction"] == "element_mean" else 1.0) / len(samples)
        weight = (r**2).sum(1, keepdim=True) + 1.0 / r.shape[1]
        u, value = [torch.ones_like(p) for p in parameters], 0.0
        for _ in range(iterations):
            norm = torch.sqrt(sum((x**2).sum() for x in u))
            inner = sum((p * x).sum() for p, x in zip(pulled, u)) / norm
            (pushed,) = torch.autograd.grad(inner, dummy, retain_graph=True)
            pushed = scale * (weight * pushed + 2 * r * (r * pushed).sum(1, keepdim=True))
            u = torch.autograd.grad(output, parameters, pushed, retain_graph=True)
            value = torch.sqrt(sum((x**2).sum() for x in u)).item()
        return value

    def kernel_norm(self, sample):
        """kappa: the largest eigenvalue of D D^T of one sample."""
        output = self.outputs(np.array([sample]))[0]
        rows = []
        for value in output:
            gradients = torch.autograd.grad(value, list(self.parameters.values()), retain_graph=True)
            rows.append(torch.cat([g.reshape(-1) for g in gradients]))
        rows = torch.stack(rows).double().numpy()
        return np.linalg.eigvalsh(rows @ rows.T)[-1]


def flat(tensors, prefix, names):
    return np.concatenate([tensors[prefix + name].astype(np.float64).ravel() for name in names])


def distance(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def record(program, run, folder, until, epochs):
    """A checkpoint is replaced by renaming, so a hard link to it stays. A step is lost where two of them pass between two looks."""
    os.makedirs(folder)
    current, link = os.path.join(run, "checkpoint.safetensors"), os.path.join(folder, "next")
    command = [program, "train", "--resume", "--out", run, "--checkpoint-every", "1", "--log-steps", "1"]
    command += ["--epochs", epochs] if epochs else []
    training, kept = None, None
    while training is None or training.poll() is None:
        if os.stat(current).st_ino != kept:
            os.link(current, link)
            kept = os.stat(link).st_ino
            step = steps_done(safetensors.read(link)[0])
            os.replace(link, os.path.join(folder, f"{step:08d}.safetensors"))
            if step >= until:
                training.send_signal(signal.SIGINT)
        if training is None:
            training = subprocess.Popen(command)
        time.sleep(0.002)


def free_columns(free, engine, names):
    """How far f32 and the engine are from f64, each having gone on by itself."""
    row = {}
    for kind, prefix in (("weights", ""), ("momenta", MOMENTUM)):
        exact = getattr(free["f64"], kind)()
        row[f"free_{kind}_f32"] = distance(getattr(free["f32"], kind)(), exact)
        row[f"free_{kind}_engine"] = distance(flat(engine, prefix, names), exact) if engine else ""
    return row


def single_columns(single, seen, before, engine, engine_norm, rate):
    """The step's gradient norm and momenta against those of f64 from the same checkpoint, and the engine's update of its weights by its
    momenta, in units of a weight's last place: half a unit is one rounding."""
    names = list(single["f64"].parameters)
    exact, norm = single["f64"].momenta(), seen["f64"]["grad_norm"]
    weights, momenta = flat(engine, "", names), flat(engine, MOMENTUM, names)
    error = np.abs(weights - (before - np.float64(np.float32(rate)) * momenta))
    return {
        "single_norm_f32": abs(seen["f32"]["grad_norm"] / norm - 1),
        "single_norm_engine": abs(engine_norm / norm - 1),
        "single_momenta_f32": distance(single["f32"].momenta(), exact),
        "single_momenta_engine": distance(momenta, exact),
        "update_ulps": (error / np.spacing(np.abs(weights).astype(np.float32))).max(),
    }


def compare(arguments):
    steps = {int(name.split(".")[0]): os.path.join(arguments.folder, name) for name in os.listdir(arguments.folder)}
    first = arguments.first or min(steps)
    metadata = safetensors.read(steps[first])[1]
    config = json.loads(metadata["qmse.config"])
    images, labels = read_images(config, arguments.data)
    with open(arguments.log) as file:
        log = {entry["step"]: entry for entry in map(json.loads, file)}
    types = {"f32": torch.float32, "f64": torch.float64}

    def at_checkpoint(step):
        tensors = safetensors.read(steps[step])[0]
        return {name: Training(tensors, metadata, images, labels, dtype) for name, dtype in types.items()}

    free = at_checkpoint(first)
    names = list(free["f64"].parameters)
    rows = []
    for step in range(first + 1, min(max(log), first + arguments.steps) + 1):
        engine = safetensors.read(steps[step])[0] if step in steps else None
        seen = {name: training.step() for name, training in free.items()}
        row = {"step": step, "engine_loss": log[step]["loss"], "engine_norm": log[step]["grad_norm"]}
        row.update({f"{name}_{what}": seen[name][long] for name in types for what, long in (("loss", "loss"), ("norm", "grad_norm"))})
        row.update(free_columns(free, engine, names))
        if step - 1 in steps and step >= arguments.single_from:
            single = at_checkpoint(step - 1)
            before = single["f64"].weights()
            seen = {name: training.step() for name, training in single.items()}
            if engine:
                row.update(single_columns(single, seen, before, engine, log[step]["grad_norm"], config["lr"]))
        at = seen["f64"]
        worst = int(np.argmax(at["squared"]))
        row["mean_r2"], row["largest_r2"] = at["squared"].mean(), at["squared"][worst]
        row["largest_sample"], row["its_a"] = int(at["samples"][worst]), at["weight"][worst]
        if arguments.curvature and step % arguments.curvature == 0 and step - 1 in steps:
            there = at_checkpoint(step - 1)["f32"]
            row["lr_curvature"] = config["lr"] * there.curvature(at["samples"], at["residual"])
            row["its_kappa"] = there.kernel_norm(row["largest_sample"])
        rows.append({key: f"{value:.7g}" if isinstance(value, (float, np.floating)) else value for key, value in row.items()})
        with open(arguments.out, "w", newline="") as out:
            writer = csv.DictWriter(out, dict.fromkeys(key for entry in rows for key in entry))
            writer.writeheader()
            writer.writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("record")
    for name in ("program", "run", "folder"):
        one.add_argument(name)
    one.add_argument("--until", type=int, default=1 << 62, help="stop after this step [when the run ends]")
    one.add_argument("--epochs", help="of the whole run [as recorded there]")
    two = commands.add_parser("compare")
    two.add_argument("folder")
    two.add_argument("--data", required=True)
    two.add_argument("--log", required=True)
    two.add_argument("--out", required=True)
    two.add_argument("--first", type=int, help="the step after which to start [the first checkpoint]")
    two.add_argument("--steps", type=int, default=1 << 62)
    two.add_argument("--single-from", type=int, default=0, help="no single steps before this one [0]")
    two.add_argument("--curvature", type=int, help="every so many steps: the curvature along the batch, and kappa of the worst sample")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.command == "record":
        record(arguments.program, arguments.run, arguments.folder, arguments.until, arguments.epochs)
    else:
        compare(arguments)


if __name__ == "__main__":
    sys.exit(main())
