#!/usr/bin/env python3
"""The CIFAR-10 runs of fig2 (QMSE, element_mean, lr 0.1, momentum 0.9, batch 64) written with PyTorch alone: own initial weights, order of
images and v. One process trains many seeds, each on its own stream; the full batches of an epoch are replays of one CUDA graph of
--unroll steps. One JSON object an epoch and seed.

    independent.py --data CIFAR_FOLDER --seeds 101,102 --epochs 40 --out OUT/pt-{seed}.jsonl [--device cuda|cpu] [--limit SECONDS] [--no-graph]
"""
import argparse, json, math, os, sys, time
import numpy as np
import torch

B, C = 64, 10
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False


def read(folder, names):
    raw = np.concatenate([np.fromfile(f"{folder}/{name}", np.uint8).reshape(-1, 3073) for name in names])
    return torch.from_numpy(raw[:, 1:].reshape(-1, 3, 32, 32).copy()), torch.from_numpy(raw[:, 0].astype(np.int64))


def load(folder, device):
    """training and test images and labels on the device, standardised per channel by a table of the 256 values"""
    x, y = read(folder, [f"data_batch_{i}.bin" for i in range(1, 6)])
    values, tables = np.arange(256) / 255, []
    for c in range(3):
        share = np.bincount(x[:, c].numpy().ravel(), minlength=256) / x[:, c].numel()
        mean = (share * values).sum()
        std = np.sqrt((share * (values - mean) ** 2).sum())
        tables.append((torch.arange(256).float() / 255 - torch.tensor(mean).float()) / torch.tensor(std).float())
    sets = [x, y]
    if os.path.exists(f"{folder}/test_batch.bin"):
        sets += read(folder, ["test_batch.bin"])

    def standard(images):
        out = torch.empty(images.shape, device=device)
        images = images.to(device)
        for c in range(3):
            table = tables[c].to(device)
            for i in range(0, len(images), 5000):
                out[i:i + 5000, c] = table.index_select(0, images[i:i + 5000, c].reshape(-1).int()).view(-1, 32, 32)
        return out

    return [standard(t) if t.dim() == 4 else t.to(device) for t in sets]


def network():
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(32, 64, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Flatten(), torch.nn.Linear(4096, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))


class Run:
    """A seed's training. Everything that a step reads or writes stays in the same memory, so that a graph of steps can be replayed.
    A step keeps the outputs of its images; what is reported is calculated from them at the epoch's end."""

    def __init__(self, seed, x, y, device, lr=0.1, momentum=0.9):
        self.seed, self.x, self.y, self.lr, self.momentum = seed, x, y, lr, momentum
        torch.manual_seed(seed)
        self.net = network().to(device)
        self.parameters = list(self.net.parameters())
        self.velocity = [torch.zeros_like(p) for p in self.parameters]
        self.generator = torch.Generator(device).manual_seed(seed)
        n = len(x)
        self.order = torch.zeros(n, dtype=torch.int64, device=device)  # of this epoch
        self.wanted = torch.zeros(n, 2 * C, device=device)  # one-hot label and unit vector v, by position in the order
        self.outputs = torch.zeros(n, C, device=device)
        self.classes = torch.arange(C, device=device)
        self.first = torch.arange(B, device=device)
        self.position = self.first.clone()
        self.stream, self.graph, self.epoch = None, None, 0

    def begin_epoch(self, order=None, v=None):
        """order and v of the next epoch, drawn on the device outside of the graph"""
        if order is None:
            order = torch.randperm(len(self.x), generator=self.generator, device=self.x.device)
        if v is None:
            v = torch.randn(len(self.x), C, generator=self.generator, device=self.x.device)
            v /= v.norm(dim=1, keepdim=True)
        self.order.copy_(order)
        self.wanted[:, :C] = (self.y[self.order].unsqueeze(1) == self.classes).float()
        self.wanted[:, C:] = v
        self.position.copy_(self.first)

    def step(self, count=B):
        position = self.position[:count]
        x = self.x.index_select(0, self.order.index_select(0, position))
        wanted = self.wanted.index_select(0, position)
        with torch.enable_grad():
            f = self.net(x)
        with torch.no_grad():
            r = wanted[:, :C] - f
            q = r + wanted[:, C:]
            a = (r * q).sum(1, keepdim=True)
            gradient = a * q * (-2.0 / C / count)
        grads = torch.autograd.grad(f, self.parameters, gradient)  # not backward(): no .grad and no stream of it
        with torch.no_grad():
            self.outputs.index_copy_(0, position, f)
            torch._foreach_mul_(self.velocity, self.momentum)
            torch._foreach_add_(self.velocity, list(grads))
            torch._foreach_add_(self.parameters, self.velocity, alpha=-self.lr)
            self.position.add_(B)

    def sums(self):
        """on the device: loss, ||r||^2, its largest, correct answers and images up to the first step that is not finite, and finite steps"""
        with torch.no_grad():
            r = self.wanted[:, :C] - self.outputs
            n2 = (r * r).sum(1)
            a = (r * (r + self.wanted[:, C:])).sum(1)
            hit = self.outputs.argmax(1) == self.wanted[:, :C].argmax(1)
            bad = ~torch.isfinite(n2 + a)
            n, at = len(n2), torch.arange(len(n2), device=n2.device)
            step = torch.where(bad, at, -(-n // B) * B).min().div(B, rounding_mode="floor")  # the first that is not finite; else as many as there are
            good = at < step * B
            nil = torch.zeros_like(n2)
            n2, a = torch.where(good, n2, nil).double(), torch.where(good, a, nil).double()
            return torch.stack([(a * a).sum() / C, n2.sum(), n2.max(), (hit & good).sum().double(), good.sum().double(), step.double(), bad.any().double()])

    def capture(self, unroll):
        """warm up and record on the run's own stream (cuBLAS's workspace belongs to the stream, and graphs of several runs are replayed
        at once); weights and momenta are put back afterwards"""
        kept = [p.detach().clone() for p in self.parameters]
        self.begin_epoch(torch.arange(len(self.x), device=self.x.device))
        for _ in range(3):
            self.step()
        self.stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            for _ in range(unroll):
                self.step()
        self.stream.synchronize()
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, kept)
            torch._foreach_zero_(self.velocity)
        self.graph = graph

    def record(self, sums, test):
        loss, squared, worst, correct, images, step, bad = sums.tolist()
        images, finite, accuracy = max(images, 1), not bad, None
        if finite and test is not None:
            total, right, count = test
            finite, accuracy = math.isfinite(total.item()), right.item() / count  # what the last step did shows here
        at = None if finite else int((self.epoch - 1) * math.ceil(len(self.x) / B) + step + bad)
        return {"seed": self.seed, "loss": "qmse", "epoch": self.epoch, "train_loss": loss / images, "train_residual_sq": squared / images,
                "largest_residual_sq": worst, "train_accuracy": correct / images, "images": int(images), "test_accuracy": accuracy,
                "finite": finite, "non_finite_step": at}

    def test(self, xt, yt):
        with torch.no_grad():
            correct, total = 0, 0.0
            for i in range(0, len(xt), 2000):
                f = self.net(xt[i:i + 2000])
                correct = correct + (f.argmax(1) == yt[i:i + 2000]).sum()
                total = total + f.sum()
        return total, correct, len(xt)


def check(x, y, device, unroll, graph):
    """two graphs' worth of steps from the same weights, order and v: by graph, step by step, and on the CPU"""
    count = 2 * unroll
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(7))
    v = torch.randn(len(x), C, generator=torch.Generator().manual_seed(8))
    v /= v.norm(dim=1, keepdim=True)
    chosen = order[:count * B]
    weights = {}
    for name in ["cpu", "eager"] + ["graph"] * graph:
        if name == "cpu":
            r = Run(7, x[chosen.to(device)].cpu(), y[chosen.to(device)].cpu(), torch.device("cpu"))
            r.begin_epoch(torch.arange(len(chosen)), v[:len(chosen)])
        else:
            r = Run(7, x, y, device)
        with torch.cuda.stream(torch.cuda.Stream() if device.type == "cuda" and name != "cpu" else None):
            if name != "cpu":
                if device.type == "cuda":
                    torch.cuda.synchronize()
                    r.stream = torch.cuda.current_stream()
                if name == "graph":
                    r.capture(unroll)
                r.begin_epoch(order.to(device), v.to(device))
            if name == "graph":
                r.graph.replay()
                r.graph.replay()
            else:
                for _ in range(count):
                    r.step()
            weights[name] = [p.detach().cpu().double() for p in r.parameters]
    start = [p.detach().double() for p in Run(7, x[:1].cpu(), y[:1].cpu(), torch.device("cpu")).parameters]
    distance = lambda a, b: math.sqrt(sum(((p - q) ** 2).sum().item() for p, q in zip(a, b)))
    moved = distance(start, weights["cpu"])
    text = ", ".join(f"{n} {distance(weights[n], weights['cpu']) / moved:.2e}" for n in weights if n != "cpu")
    same = f"; graph and step by step {distance(weights['graph'], weights['eager']) / moved:.2e}" if graph else ""
    print(f"check: after {count} steps the weights moved by {moved:.4f}; differences from the CPU's as a share of it: {text}{same}", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--seeds", "--seed", required=True)
    p.add_argument("--epochs", type=int, default=40)
    p.add_argument("--out", required=True, help="{seed} is replaced")
    p.add_argument("--device", default="cuda")
    p.add_argument("--unroll", type=int, default=11)
    p.add_argument("--limit", type=float, default=1e9, help="seconds after which no epoch begins")
    p.add_argument("--train-limit", type=int, default=0)
    p.add_argument("--no-graph", action="store_true")
    p.add_argument("--check", action="store_true", help="first compare some steps by graph, step by step and on the CPU")
    o = p.parse_args()
    begin = time.time()
    device = torch.device(o.device)
    cuda = device.type == "cuda"
    if not cuda:
        torch.set_num_threads(1)
    x, y, *test = load(o.data, device)
    if o.train_limit:
        x, y = x[:o.train_limit], y[:o.train_limit]
    if o.check:
        try:
            check(x, y, device, o.unroll, cuda and not o.no_graph)
        except Exception as error:
            print(f"check failed: {type(error).__name__}: {error}", flush=True)
    runs = [Run(int(s), x, y, device) for s in o.seeds.split(",")]
    for r in runs:
        open(o.out.replace("{seed}", str(r.seed)), "w").close()
    if cuda:
        used = set()
        for r in runs:
            r.stream = torch.cuda.Stream()
            used.add(r.stream.cuda_stream)
        if len(used) < len(runs):
            sys.exit(f"{len(runs)} runs have {len(used)} streams: give fewer --seeds to a process")
        torch.cuda.synchronize()  # what was made on the default stream is there
    on = lambda r: torch.cuda.stream(r.stream if cuda else None)
    if cuda and not o.no_graph:
        for r in runs:
            try:
                with on(r):
                    r.capture(o.unroll)
            except Exception as error:  # go on step by step
                print(f"seed {r.seed}: no graph, eager instead: {type(error).__name__}: {error}", flush=True)
                seed = r.seed
                torch.cuda.synchronize()
                with on(r):
                    stream = r.stream
                    r.__init__(seed, x, y, device)
                    r.stream = stream
                torch.cuda.synchronize()
            else:
                r.generator.manual_seed(r.seed)
        torch.cuda.synchronize()
        print(f"{sum(r.graph is not None for r in runs)} of {len(runs)} seeds have a graph; ready after {time.time() - begin:.1f} s", flush=True)
    full, rest = divmod(len(x), B)
    while runs and time.time() - begin < o.limit:
        start = time.time()
        for r in runs:
            with on(r):
                r.begin_epoch()
        done = 0
        while done < full:
            here = min(o.unroll, full - done)
            for r in runs:
                with on(r):
                    if r.graph is not None and here == o.unroll:
                        r.graph.replay()
                    else:
                        for _ in range(here):
                            r.step()
            done += here
        scores = []
        for r in runs:
            with on(r):
                if rest:
                    r.step(rest)
                r.epoch += 1
                scores.append((r.sums(), r.test(*test) if test else None))
        left = []
        for r, score in zip(runs, scores):
            with on(r):
                record = r.record(*score)
            record |= {"seconds": round(time.time() - start, 3), "torch": torch.__version__, "device": torch.cuda.get_device_name() if cuda else "cpu",
                       "graph": r.graph is not None}
            with open(o.out.replace("{seed}", str(r.seed)), "a") as f:
                f.write(json.dumps(record) + "\n")
            if not record["finite"]:
                print(f"seed {r.seed}: not finite in epoch {r.epoch}, step {record['non_finite_step']}", flush=True)
            elif r.epoch < o.epochs:
                left.append(r)
        ended, runs = [r for r in runs if r not in left], left
        if not runs or (runs[0].epoch % 5 == 0) or runs[0].epoch == 1:
            print(f"{time.time() - begin:.1f} s: {len(runs)} seeds go on, last epoch took {time.time() - start:.2f} s", flush=True)
    for r in runs:
        print(f"seed {r.seed}: out of time after epoch {r.epoch}", flush=True)


if __name__ == "__main__":
    main()
