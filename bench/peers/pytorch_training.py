"""The training of bench/time-to-accuracy in PyTorch, written as its user would: the same network, loss, optimizer, batch size,
normalisation and distribution of initial weights, eager, the whole set in memory (on a GPU: in the GPU's).

Prints one line of JSON for each epoch, {"seconds": of training so far, "test_accuracy": share}, and ends at the target.
"""
import argparse
import gzip
import json
import os
import time

import numpy
import torch

CIFAR_ROW = 1 + 3 * 32 * 32


def read_idx(folder, name):
    path = os.path.join(folder, name)
    opener, path = (open, path) if os.path.exists(path) else (gzip.open, path + ".gz")
    with opener(path, "rb") as file:
        data = file.read()
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def read_dataset(root, name):
    """[(images [N, C, H, W] uint8, labels [N])] of training and test."""
    if name == "cifar10":
        folder = os.path.join(root, "cifar-10-batches-bin")
        files = [[f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"]]
        rows = [
            numpy.concatenate([numpy.fromfile(os.path.join(folder, f), numpy.uint8).reshape(-1, CIFAR_ROW) for f in part])
            for part in files
        ]
        return [(r[:, 1:].reshape(-1, 3, 32, 32), r[:, 0]) for r in rows]
    folder = os.path.join(root, name)
    return [
        (read_idx(folder, f"{part}-images-idx3-ubyte")[:, None], read_idx(folder, f"{part}-labels-idx1-ubyte"))
        for part in ("train", "t10k")
    ]


def make_network(channels, size, classes):
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * (size // 4) ** 2, 128), nn.ReLU(), nn.Linear(128, classes),
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--dataset", choices=["mnist", "fashion-mnist", "cifar10"], required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--momentum", type=float, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--target", type=float, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.backends.cudnn.benchmark = True  # the fastest algorithms, by timing
    torch.manual_seed(arguments.seed)
    device = torch.device(arguments.device)
    on_gpu = device.type == "cuda"
    synchronize = torch.cuda.synchronize if on_gpu else lambda: None

    parts = []
    for images, labels in read_dataset(arguments.data, arguments.dataset):
        parts.append(((torch.from_numpy(images.copy()).float() / 255).to(device), torch.from_numpy(labels.astype(numpy.int64)).to(device)))
    (images, labels), (test_images, test_labels) = parts
    classes = int(labels.max()) + 1
    targets = torch.nn.functional.one_hot(labels, classes).float()
    network = make_network(images.shape[1], images.shape[2], classes).to(device)
    optimizer = torch.optim.SGD(network.parameters(), arguments.lr, momentum=arguments.momentum, **({"fused": True} if on_gpu else {}))

    seconds = 0.0
    for _ in range(arguments.epochs):
        synchronize()
        began = time.perf_counter()
        for batch in torch.randperm(len(images), device=device).split(arguments.batch_size):
            optimizer.zero_grad(set_to_none=True)
            loss = 0.5 * (targets[batch] - network(images[batch])).square().sum() / len(batch)
            loss.backward()
            optimizer.step()
        synchronize()
        seconds += time.perf_counter() - began
        with torch.no_grad():
            right = sum((network(x).argmax(1) == y).sum() for x, y in zip(test_images.split(1000), test_labels.split(1000)))
        accuracy = right.item() / len(test_images)
        print(json.dumps({"seconds": seconds, "test_accuracy": accuracy}), flush=True)
        if accuracy >= arguments.target:
            break


if __name__ == "__main__":
    main()
