"""Computes loss and gradient of every point in points.safetensors again, from the definitions, with NumPy alone."""
import json, struct, sys
import numpy as np

raw = open(sys.argv[1] if len(sys.argv) > 1 else "points.safetensors", "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
header = json.loads(raw[8 : 8 + size])
meta = header.pop("__metadata__")
t = {k: np.frombuffer(raw[8 + size + v["data_offsets"][0] : 8 + size + v["data_offsets"][1]]).reshape(v["shape"]) for k, v in header.items()}
x, y, slope_factors = t.pop("x"), t.pop("y"), t.pop("slope_factors", None)  # [inputs, N], [outputs, N], [units, N]
functions = {"identity": lambda u, s: (u, 1 + 0 * u), "tanh": lambda u, s: (np.tanh(u), 1 - np.tanh(u) ** 2),
             "relu": lambda u, s: (u * (u > 0), 1.0 * (u > 0)), "leaky_relu": lambda u, s: (np.where(u > 0, u, s * u), np.where(u > 0, 1, s)),
             "sigmoid": lambda u, s: (1 / (1 + np.exp(-u)), np.exp(-u) / (1 + np.exp(-u)) ** 2)}
for name, w in t.items():
    net = json.loads(meta["network:" + name])
    factors, at, unit, a, layers = slope_factors if net["slope_factors"] == "yes" else None, 0, 0, x, []
    for i, (d, h) in enumerate(zip(net["widths"], net["widths"][1:])):
        W = w[at : at + d * h].reshape(h, d); at += d * h
        b = w[at : at + h, None] if net["biases"] else 0; at += h if net["biases"] else 0
        value, slope = (W @ a + b, None) if i == len(net["widths"]) - 2 else functions[net["activation"]](W @ a + b, net["leak"])
        if slope is not None and factors is not None: value, slope = value * factors[unit : unit + h], slope * factors[unit : unit + h]
        layers.append((W, a, slope)); a = value; unit += h
    r, n = y - a, x.shape[1]; q = (r * r).sum(0)
    loss, back = {"mse": lambda: (q / 2, -r), "bce": lambda: ((np.logaddexp(0, a) - y * a).sum(0), 1 / (1 + np.exp(-a)) - y),
                  "expected_qmse": lambda: (q * q / 4 + q / 2 / len(y), -(q + 1 / len(y)) * r)}[net["loss"]]()
    gradient = []
    for W, inputs, slope in reversed(layers):
        back = back if slope is None else back * slope
        gradient = [(back @ inputs.T).ravel() / n] + ([back.sum(1) / n] if net["biases"] else []) + gradient
        back = W.T @ back
    g = np.concatenate(gradient) + net["weight_decay"] * w
    print(f"{name}: loss {loss.mean() + net['weight_decay'] / 2 * w @ w:.15g}, gradient norm {np.linalg.norm(g):.3g}")
