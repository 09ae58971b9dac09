"""Training of an ensemble of small networks in f64, as `qmse landscape` does it, by JAX's vmap or PyTorch's torch.func.

    ensemble.py jax|torch width POINTS STEPS ROUNDS MOMENTUM
    ensemble.py jax|torch sgd POINTS STEPS ROUNDS NETWORKS

POINTS is a points.safetensors of the experiment `width` or `schedule`: the weights to start from, and the data. `width`: gradient descent
on all samples of networks of one hidden layer; for each width the networks are one batch. `sgd`: NETWORKS copies of the one start, each
with batches of ten of its own. Prints one JSON object: seconds for STEPS steps of all networks, compilation not counted, ROUNDS times, and
the networks after STEPS steps: their losses by name, or the squared norms of their gradients on all samples.
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
SGD_LR, SGD_BATCH, SGD_SEED = 0.1, 10, 1


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
    return lambda: run(w).block_until_ready(), lambda w: np.asarray(jax.vmap(loss)(w))


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
        return w

    gradients(torch.tensor(start))  # what is made once
    return run, lambda w: torch.func.vmap(loss)(w).numpy()


def sgd_loss_of(xp, network):
    d, h, c = network["widths"]
    decay = network["weight_decay"]

    def loss(w, x, y):
        u = w[: d * h].reshape(h, d) @ x + w[d * h : d * h + h].reshape(h, 1)
        out = w[d * h + h :]
        f = out[: h * c].reshape(c, h) @ xp.tanh(u) + out[h * c :].reshape(c, 1)
        return 0.5 * xp.mean(((f - y) ** 2).sum(0)) + 0.5 * decay * (w**2).sum()

    return loss


def jax_sgd(x, y, network, start, steps, networks):
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    loss, x, y = sgd_loss_of(jnp, network), jnp.asarray(x), jnp.asarray(y)
    gradient = jax.grad(loss)
    of_batch = jax.vmap(lambda w, batch: gradient(w, x[:, batch], y[:, batch]))

    def step(k, w):
        batches = jax.random.randint(jax.random.fold_in(jax.random.key(SGD_SEED), k), (networks, SGD_BATCH), 0, x.shape[1])
        return w - SGD_LR * of_batch(w, batches)

    run = jax.jit(lambda w: jax.lax.fori_loop(0, steps, step, w))
    w = jnp.tile(jnp.asarray(start), (networks, 1))
    run(w).block_until_ready()  # compiles
    whole = jax.jit(jax.vmap(lambda w: (gradient(w, x, y) ** 2).sum()))
    return lambda: run(w).block_until_ready(), lambda w: np.asarray(whole(w))


def torch_sgd(x, y, network, start, steps, networks):
    import torch

    torch.set_num_threads(int(THREADS))
    torch.manual_seed(SGD_SEED)
    loss, x, y = sgd_loss_of(torch, network), torch.tensor(x), torch.tensor(y)
    gradient = torch.func.grad(loss)
    of_batch = torch.func.vmap(gradient)

    def run():
        w = torch.tensor(start).repeat(networks, 1)
        for _ in range(steps):
            batches = torch.randint(x.shape[1], (networks, SGD_BATCH))
            w = w - SGD_LR * of_batch(w, x[:, batches].transpose(0, 1), y[:, batches].transpose(0, 1))
        return w

    first = torch.randint(x.shape[1], (networks, SGD_BATCH))
    of_batch(torch.tensor(start).repeat(networks, 1), x[:, first].transpose(0, 1), y[:, first].transpose(0, 1))  # what is made once
    return run, lambda w: (torch.func.vmap(gradient, in_dims=(0, None, None))(w, x, y) ** 2).sum(1).numpy()


def time_width(peer, tensors, networks, steps, rounds, momentum):
    runs, losses, seconds = {}, {}, []
    groups = by_width(tensors, networks)
    for h, (names, start) in groups.items():
        runs[h] = {"jax": jax_runner, "torch": torch_runner}[peer](tensors["x"], tensors["y"], h, start, steps, momentum)
    for _ in range(rounds):
        began = time.perf_counter()
        weights = {h: run() for h, (run, _) in runs.items()}
        seconds.append(time.perf_counter() - began)
    for h, (names, _) in groups.items():
        losses.update(zip(names, map(float, runs[h][1](weights[h]))))
    return {"losses": losses, "seconds": seconds}


def time_sgd(peer, tensors, networks, steps, rounds, count):
    ((name, network),) = networks.items()
    run, squared_norms = {"jax": jax_sgd, "torch": torch_sgd}[peer](tensors["x"], tensors["y"], network, tensors[name], steps, count)
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        weights = run()
        seconds.append(time.perf_counter() - began)
    return {"squared_norms": squared_norms(weights).tolist(), "seconds": seconds}


def main():
    peer, workload, points, steps, rounds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    tensors, networks = read(points)
    try:
        version = __import__(peer).__version__
    except ImportError as error:
        unavailable(error)
    if workload == "width":
        answer = time_width(peer, tensors, networks, steps, rounds, float(sys.argv[6]))
    else:
        answer = time_sgd(peer, tensors, networks, steps, rounds, int(sys.argv[6]))
    print(json.dumps({"version": version, **answer}))


main()
