"""Gradient descent of an ensemble of small networks in f64, as `qmse landscape width` does it, by JAX's vmap or PyTorch's torch.func.

    ensemble.py jax|torch POINTS STEPS ROUNDS MOMENTUM

POINTS is a points.safetensors of that experiment with networks of one hidden layer: the weights to start from, and the data. For each
width the networks are one batch. Prints one JSON object: final losses by name after STEPS steps, and seconds for STEPS steps of all
networks, compilation not counted, ROUNDS times.
"""
import json
import os
import struct
import sys
import time

THREADS = os.environ.get("OMP_NUM_THREADS", "1")
os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'false' if THREADS == '1' else 'true'} intra_op_parallelism_threads={THREADS}"

import numpy as np
from state import unavailable

LR, LEAK = 0.05, 0.1


def read(path):
    with open(path, "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    networks = {name[len("network:") :]: json.loads(text) for name, text in header.pop("__metadata__").items() if name.startswith("network:")}
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(content[begin:end]).reshape(entry["shape"]).copy()
    return tensors, networks


def by_width(tensors, networks):
    groups = {}
    for name, network in networks.items():
        if len(network["widths"]) == 3 and not name.startswith("trap"):
            groups.setdefault(network["widths"][1], []).append(name)
    return {width: (names, np.stack([tensors[name] for name in names])) for width, names in groups.items()}


def loss_of(xp, where, x, y, h):
    d = x.shape[0]

    def loss(w):
        u = w[: d * h].reshape(h, d) @ x + w[d * h : d * h + h].reshape(h, 1)
        f = w[d * h + h : d * h + 2 * h] @ where(u > 0, u, LEAK * u) + w[d * h + 2 * h]
        return 0.5 * xp.mean((f - y[0]) ** 2)

    return loss


def jax_runner(x, y, h, start, steps, momentum):
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    loss = loss_of(jnp, jnp.where, jnp.asarray(x), jnp.asarray(y), h)
    gradients = jax.vmap(jax.grad(loss))

    def step(_, state):
        w, v = state
        v = momentum * v + gradients(w)
        return w - LR * v, v

    run = jax.jit(lambda w: jax.lax.fori_loop(0, steps, step, (w, jnp.zeros_like(w)))[0])
    w = jnp.asarray(start)
    run(w).block_until_ready()  # compiles
    return lambda: np.asarray(jax.vmap(loss)(run(w).block_until_ready()))


def torch_runner(x, y, h, start, steps, momentum):
    import torch

    torch.set_num_threads(int(THREADS))
    loss = loss_of(torch, torch.where, torch.tensor(x), torch.tensor(y), h)
    gradients = torch.func.vmap(torch.func.grad(loss))

    def run():
        w = torch.tensor(start)
        v = torch.zeros_like(w)
        for _ in range(steps):
            v = momentum * v + gradients(w)
            w = w - LR * v
        return torch.func.vmap(loss)(w).numpy()

    return run


def main():
    peer, points, steps, rounds, momentum = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
    tensors, networks = read(points)
    make = {"jax": jax_runner, "torch": torch_runner}[peer]
    try:
        version = __import__(peer).__version__
    except ImportError as error:
        unavailable(error)
    runs, losses, seconds = {}, {}, []
    groups = by_width(tensors, networks)
    for h, (names, start) in groups.items():
        runs[h] = make(tensors["x"], tensors["y"], h, start, steps, momentum)
    for _ in range(rounds):
        began = time.perf_counter()
        for h, (names, _) in groups.items():
            losses.update(zip(names, map(float, runs[h]())))
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"version": version, "losses": losses, "seconds": seconds}))


main()
