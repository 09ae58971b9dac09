"""The mathematics of a traced step, written a second time with PyTorch in f64."""
import json

import numpy as np
import torch
import torch.nn.functional as F

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "identity": lambda x: x}


def parameters_of(tensors):
    return {
        name[len("param.") :]: torch.tensor(value.astype(np.float64), requires_grad=True)
        for name, value in tensors.items()
        if name.startswith("param.")
    }


class Choices:
    """Which side of a kink each value is on: PyTorch's own, or those of a traced f32 step, where a value near zero may lie on the
    other side than in f64 and move the gradients by far more than rounding does."""

    def __init__(self, traced=None):
        self.traced = traced

    def relu(self, x, name):
        if self.traced is None:
            return torch.relu(x)
        return x * torch.tensor(self.traced["activation." + name] > 0)

    def max_pool(self, x, name_before):
        if self.traced is None:
            return F.max_pool2d(x, 2)
        before = torch.tensor(self.traced["activation." + name_before])
        _, where = F.max_pool2d(before, 2, return_indices=True)
        return x.flatten(2).gather(2, where.flatten(2)).reshape(where.shape)


def forward(model, parameters, x, choices):
    """Outputs and every activation of the network that `model` (the file's description) names."""
    seen = {}

    def keep(name, value):
        seen[name] = value
        return value

    def linear(name, value):
        return keep(name, F.linear(value, parameters[name + ".weight"], parameters[name + ".bias"]))

    if model["model"] == "cnn":
        for i in range(1, len(model["conv_channels"]) + 1):
            weight, bias = parameters[f"conv{i}.weight"], parameters[f"conv{i}.bias"]
            x = keep(f"conv{i}", F.conv2d(x, weight, bias, padding=model["kernel_size"] // 2))
            x = keep(f"relu{i}", choices.relu(x, f"relu{i}"))
            x = keep(f"pool{i}", choices.max_pool(x, f"relu{i}"))
        x = keep("flatten", x.flatten(1))
        x = keep("relu_fc1", choices.relu(linear("fc1", x), "relu_fc1"))
        return linear("fc2", x), seen
    x = keep("flatten", x.flatten(1))
    count = len(model["mlp_widths"])
    for i in range(1, count + 1):
        x = linear(f"fc{i}", x)
        if model["activation"] == "relu":
            x = keep(f"act{i}", choices.relu(x, f"act{i}"))
        elif model["activation"] != "identity":  # which leaves no activation of its own
            x = keep(f"act{i}", ACTIVATIONS[model["activation"]](x))
    return linear(f"fc{count + 1}", x), seen


def losses(config, output, target, v):
    """The loss of each sample, ready to be differentiated: with q_gradient constant, Q is not."""
    classes = output.shape[1]
    if config["loss"] == "cross_entropy":
        return F.cross_entropy(output, target, reduction="none")
    scale = 2.0 / classes if config["reduction"] == "element_mean" else 1.0
    residual = F.one_hot(target, classes).to(output.dtype) - output
    if config["loss"] == "mse":
        return scale * 0.5 * (residual**2).sum(1)
    if config["loss"] == "qmse_expected":  # MSE weighted by ||r||^2 + 1/c, which is not differentiated
        squared = (residual**2).sum(1)
        return scale * 0.5 * (squared.detach() + 1.0 / classes) * squared
    shifted = residual + v
    if config["loss"] == "mse_noise":  # MSE, and a term of value 0 whose gradient is QMSE's noise
        squared = (residual**2).sum(1, keepdim=True)
        noise = (shifted * (shifted * residual).sum(1, keepdim=True) - (squared + 1.0 / classes) * residual).detach()
        along = (noise * residual).sum(1)
        return scale * (0.5 * squared.squeeze(1) + along - along.detach())
    q = torch.einsum("bi,bj->bij", shifted, shifted)
    if config["q_gradient"] == "constant":
        q = q.detach()
    return scale * 0.5 * torch.einsum("bi,bij,bj->b", residual, q, residual)


def step(tensors, metadata, parameters=None, choices=None):
    """Recomputes a trace. Returns {tensor name of the trace: value}."""
    config = json.loads(metadata["qmse.config"])
    model = json.loads(metadata["qmse.model"])
    parameters = parameters or parameters_of(tensors)
    x = torch.tensor(tensors["input"].astype(np.float64))
    target = torch.tensor(tensors["target"].astype(np.int64))
    v = torch.tensor(tensors["v"].astype(np.float64)) if "v" in tensors else None
    output, activations = forward(model, parameters, x, choices or Choices())
    output.retain_grad()
    value = losses(config, output, target, v)
    value.mean().backward()
    residual = F.one_hot(target, output.shape[1]).to(output.dtype) - output
    results = {"output": output, "residual": residual, "sample_loss": value, "loss": value.mean().reshape(1)}
    results["grad.output"] = output.grad
    results.update({"grad." + name: parameter.grad for name, parameter in parameters.items()})
    results.update({"activation." + name: activation for name, activation in activations.items()})
    return {name: result.detach().numpy() for name, result in results.items()}
