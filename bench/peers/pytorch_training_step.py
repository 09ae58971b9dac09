"""The training step of bench/training_step.cpp in PyTorch: same network, data, weights, loss and optimizer, same protocol.

The images are normalised to float32 once, before anything is timed; a step picks a batch by index, which is what a PyTorch
user with the whole set in memory would write.
"""
import argparse
import json
import resource
import struct
import sys
import time

import numpy
import torch

LEARNING_RATE = 0.01


def read_safetensors(path):
    types = {"F32": numpy.float32, "U8": numpy.uint8, "I32": numpy.int32}
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = numpy.frombuffer(data[8 + length + begin : 8 + length + end], types[entry["dtype"]])
        tensors[name] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    return tensors


class SimpleCnn(torch.nn.Module):
    def __init__(self, channels, features, classes):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(channels, 32, 3, padding=1)
        self.conv2 = torch.nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = torch.nn.Linear(features, 128)
        self.fc2 = torch.nn.Linear(128, classes)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = torch.max_pool2d(torch.relu(self.conv2(x)), 2)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


def mse(outputs, targets):
    return 0.5 * (targets - outputs).square().sum() / len(outputs)


def qmse(outputs, targets):
    residual = targets - outputs
    v = torch.nn.functional.normalize(torch.randn_like(residual), dim=1)
    q_vector = (residual + v).detach()
    return 0.5 * ((q_vector * residual).sum(1).square()).sum() / len(outputs)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", required=True)
    parser.add_argument("--loss", choices=["mse", "qmse"], default="mse")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    state = read_safetensors(arguments.state)
    images = state.pop("images").float() / 255
    labels = state.pop("labels").long()
    classes = state["fc2.bias"].shape[0]
    targets = torch.nn.functional.one_hot(labels, classes).float()
    model = SimpleCnn(images.shape[1], state["fc1.weight"].shape[1], classes)
    model.load_state_dict(state)
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, momentum=0.9)
    loss_function = {"mse": mse, "qmse": qmse}[arguments.loss]
    order = torch.arange(len(images))
    position = 0

    print("ready", flush=True)
    for line in sys.stdin:
        steps = int(line)
        begin = time.perf_counter()
        for _ in range(steps):
            if position + arguments.batch > len(images):
                position = 0
            batch = order[position : position + arguments.batch]
            position += arguments.batch
            optimizer.zero_grad(set_to_none=True)
            loss = loss_function(model(images[batch]), targets[batch])
            loss.backward()
            optimizer.step()
        seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "steps": steps, "loss": loss.item(), "peak_rss_bytes": peak}), flush=True)


if __name__ == "__main__":
    main()
