"""The training step of bench/training_step.cpp in JAX: same network, data, weights, loss and optimizer, same protocol.

An epoch is one jitted lax.scan over its steps; a request for steps runs as many whole epochs as cover it, fewer steps than an
epoch one by one. The images stay bytes on the device, and a step gathers and normalises its batch, as ours does.
"""
import argparse
import functools
import os
import time

import numpy

from state import LEARNING_RATE, MOMENTUM, read_safetensors, serve, unavailable, wait_for_turn

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # others use the same GPU
try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    unavailable(error)


def convolution(x, weight, bias):
    y = jax.lax.conv_general_dilated(
        x, weight, window_strides=(1, 1), padding="SAME", dimension_numbers=("NCHW", "OIHW", "NCHW")
    )
    return y + bias[:, None, None]


def max_pool(x):
    # The maximum of a reshaped array: its gradient is elementwise, that of lax.reduce_window a slow scatter. They differ
    # where a window holds its maximum twice, which behind ReLU happens at 0, where ReLU's gradient is 0.
    batch, channels, height, width = x.shape
    return x.reshape(batch, channels, height // 2, 2, width // 2, 2).max(axis=(3, 5))


def outputs_of(weights, x):
    x = max_pool(jax.nn.relu(convolution(x, weights["conv1.weight"], weights["conv1.bias"])))
    x = max_pool(jax.nn.relu(convolution(x, weights["conv2.weight"], weights["conv2.bias"])))
    x = x.reshape(len(x), -1)
    x = jax.nn.relu(x @ weights["fc1.weight"].T + weights["fc1.bias"])
    return x @ weights["fc2.weight"].T + weights["fc2.bias"]


def mse(residual, key):
    return 0.5 * jnp.square(residual).sum() / len(residual)


def qmse(residual, key):
    v = jax.random.normal(key, residual.shape)
    v = v / jnp.linalg.norm(v, axis=1, keepdims=True)
    q_vector = jax.lax.stop_gradient(residual + v)
    return 0.5 * jnp.square((q_vector * residual).sum(axis=1)).sum() / len(residual)


def train_step(carry, images, labels, order, *, batch, loss):
    weights, momenta, step = carry
    steps_per_epoch = len(images) // batch
    chosen = jax.lax.dynamic_slice(order, (step % steps_per_epoch * batch,), (batch,))
    x = images[chosen].astype(jnp.float32) / 255
    targets = jax.nn.one_hot(labels[chosen], len(weights["fc2.bias"]))
    key = jax.random.fold_in(jax.random.key(1), step)
    value, gradients = jax.value_and_grad(lambda w: loss(targets - outputs_of(w, x), key))(weights)
    momenta = jax.tree.map(lambda m, g: MOMENTUM * m + g, momenta, gradients)
    weights = jax.tree.map(lambda w, m: w - LEARNING_RATE * m, weights, momenta)
    return (weights, momenta, step + 1), value


def scanned_epoch(carry, images, labels, order, *, batch, loss):
    def body(state, _):
        return train_step(state, images, labels, order, batch=batch, loss=loss)

    carry, values = jax.lax.scan(body, carry, length=len(images) // batch)
    return carry, values[-1]


class Training:
    def __init__(self, arguments):
        state = read_safetensors(arguments.state)
        self.data = [jax.device_put(state.pop("images")), jax.device_put(state.pop("labels"))]
        samples = len(self.data[0])
        self.steps_per_epoch = samples // arguments.batch
        self.host_order = numpy.arange(samples, dtype=numpy.int32)
        self.order = jax.device_put(self.host_order)
        weights = {name: jax.device_put(values) for name, values in state.items()}
        self.carry = (weights, jax.tree.map(jnp.zeros_like, weights), jnp.zeros((), jnp.int32))
        settings = {"batch": arguments.batch, "loss": {"mse": mse, "qmse": qmse}[arguments.loss]}
        self.one_step, self.whole_epoch = (
            jax.jit(functools.partial(function, **settings), donate_argnums=0)
            .lower(self.carry, *self.data, self.order)
            .compile()
            for function in (train_step, scanned_epoch)
        )

    def call(self, function):
        self.carry, self.loss = function(self.carry, *self.data, self.order)

    def timed(self, begin, steps):
        jax.block_until_ready((self.carry, self.loss))
        return {"seconds": time.perf_counter() - begin, "steps": steps, "loss": float(self.loss)}

    def run(self, steps):
        jax.block_until_ready(self.carry)
        begin = time.perf_counter()
        if steps < self.steps_per_epoch:
            for _ in range(steps):
                self.call(self.one_step)
            return self.timed(begin, steps)
        epochs = -(-steps // self.steps_per_epoch)
        for _ in range(epochs):
            self.call(self.whole_epoch)
        return self.timed(begin, epochs * self.steps_per_epoch)

    def epoch(self):
        jax.block_until_ready(self.carry)
        begin = time.perf_counter()
        self.order = jax.device_put(self.host_order)
        self.call(self.whole_epoch)
        return self.timed(begin, self.steps_per_epoch)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--math", choices=["fp32", "tf32"], default="fp32")
    parser.add_argument("--loss", choices=["mse", "qmse"], default="mse")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)  # JAX takes the processors it may run on
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_default_matmul_precision", {"fp32": "highest", "tf32": "tensorfloat32"}[arguments.math])
    wait_for_turn()
    try:
        if arguments.device != "cpu" and jax.default_backend() != "gpu":
            unavailable(f"JAX {jax.__version__} sees no GPU")
        training = Training(arguments)
    except Exception as error:  # a compiler's failure has many types; the other programs go on
        unavailable(f"{type(error).__name__}: {error}")

    def answer(request):
        if request == "version":
            return {"version": f"JAX {jax.__version__}"}
        return training.epoch() if request == "epoch" else training.run(int(request))

    serve(answer)


if __name__ == "__main__":
    main()
