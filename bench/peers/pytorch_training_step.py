"""The training step of bench/training_step.cpp in PyTorch: same network, data, weights, loss and optimizer, same protocol.

Forms: `eager`; `compile`, torch.compile in the mode that is asked for, on a GPU with the CUDA graphs it makes itself; `graph`,
the same compiled code and the optimizer in one CUDA graph of the whole step, which also takes its batch from a counter on the GPU.

On the CPU the images are normalised to float32 once, before anything is timed, which is what a PyTorch user with the whole
set in memory would write. On a GPU they stay bytes in its memory, and a step gathers and normalises its batch, as ours does.
"""
import argparse
import time

from state import LEARNING_RATE, MOMENTUM, read_safetensors, require_torch_can, serve, unavailable, wait_for_turn

try:
    import torch
except ImportError as error:
    unavailable(error)

WARM_UPS = 3
# torch.compile's modes that make CUDA graphs, and the same without.
WITHOUT_GRAPHS = {"reduce-overhead": "default", "max-autotune": "max-autotune-no-cudagraphs"}


class Network(torch.nn.Module):
    """From the indices of a batch to its mean loss. The data are buffers: CUDA graphs need not copy them."""

    def __init__(self, state, loss, device):
        super().__init__()
        images = torch.from_numpy(state.pop("images"))
        labels = torch.from_numpy(state.pop("labels")).long()
        classes, features = len(state["fc2.bias"]), state["fc1.weight"].shape[1]
        self.conv1 = torch.nn.Conv2d(images.shape[1], 32, 3, padding=1)
        self.conv2 = torch.nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = torch.nn.Linear(features, 128)
        self.fc2 = torch.nn.Linear(128, classes)
        self.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()})
        self.loss = loss
        self.register_buffer("images", images if device.type == "cuda" else images.float() / 255)
        self.register_buffer("targets", torch.nn.functional.one_hot(labels, classes).float())

    def forward(self, batch):
        x = self.images[batch]
        if x.dtype == torch.uint8:
            x = x.float() / 255
        x = torch.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = torch.max_pool2d(torch.relu(self.conv2(x)), 2)
        outputs = self.fc2(torch.relu(self.fc1(x.flatten(1))))
        return self.loss(outputs, self.targets[batch])


def mse(outputs, targets):
    return 0.5 * (targets - outputs).square().sum() / len(outputs)


def qmse(outputs, targets):
    residual = targets - outputs
    v = torch.nn.functional.normalize(torch.randn_like(residual), dim=1)
    q_vector = (residual + v).detach()
    return 0.5 * ((q_vector * residual).sum(1).square()).sum() / len(outputs)


class Training:
    def __init__(self, arguments, device):
        self.device = device
        self.network = Network(
            read_safetensors(arguments.state), {"mse": mse, "qmse": qmse}[arguments.loss], device
        ).to(device)
        extra = {"fused": True} if device.type == "cuda" else {}
        self.optimizer = torch.optim.SGD(self.network.parameters(), LEARNING_RATE, momentum=MOMENTUM, **extra)
        self.batch = arguments.batch
        self.samples = len(self.network.images)
        self.host_order = torch.arange(self.samples)
        self.order = self.host_order.to(device)
        self.position = 0
        self.forward = self.network
        self.mark_step = lambda: None
        if arguments.form == "compile":
            self.forward = torch.compile(self.network, mode=arguments.compile_mode)
            self.mark_step = torch.compiler.cudagraph_mark_step_begin
            self.warm_up()
        elif arguments.form == "graph":
            self.forward = torch.compile(self.network, mode=WITHOUT_GRAPHS[arguments.compile_mode])
            self.make_graph()

    def begin_epoch(self):
        self.position = 0
        self.order.copy_(self.host_order)

    def train_batch(self, batch):
        self.mark_step()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.forward(batch)
        loss.backward()
        self.optimizer.step()
        return loss

    def step(self):
        batch = self.order[self.position : self.position + self.batch]
        self.position += self.batch
        self.loss = self.train_batch(batch)

    def warm_up(self):
        """Compiles, and puts back what the steps changed."""
        before = [parameter.detach().clone() for parameter in self.network.parameters()]
        for _ in range(WARM_UPS):
            self.begin_epoch()
            self.step()
        self.put_back(before)

    def put_back(self, weights):
        self.begin_epoch()
        with torch.no_grad():
            for parameter, value in zip(self.network.parameters(), weights):
                parameter.copy_(value)
                self.optimizer.state[parameter]["momentum_buffer"].zero_()

    def make_graph(self):
        before = [parameter.detach().clone() for parameter in self.network.parameters()]
        offsets = torch.arange(self.batch, device=self.device)
        first = torch.zeros((), dtype=torch.long, device=self.device)

        def whole_step():
            loss = self.train_batch(self.order[offsets + first])
            first.add_(self.batch)
            return loss

        # Warmed up on a stream of its own, as torch.cuda.graph asks for.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                first.zero_()
                whole_step()
        torch.cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.loss = whole_step()

        def begin_epoch():
            self.position = 0
            first.zero_()
            self.order.copy_(self.host_order)

        def step():
            graph.replay()
            self.position += self.batch

        self.begin_epoch, self.step = begin_epoch, step
        self.put_back(before)

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def run(self, steps):
        self.synchronize()
        begin = time.perf_counter()
        for _ in range(steps):
            if self.position + self.batch > self.samples:
                self.begin_epoch()
            self.step()
        self.synchronize()
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "steps": steps, "loss": self.loss.item()}

    def epoch(self):
        self.synchronize()
        begin = time.perf_counter()
        self.begin_epoch()
        steps = self.samples // self.batch
        for _ in range(steps):
            self.step()
        loss = self.loss.item()
        self.synchronize()
        return {"seconds": time.perf_counter() - begin, "steps": steps, "loss": loss}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", required=True)
    parser.add_argument("--form", choices=["eager", "compile", "graph"], default="eager")
    parser.add_argument("--compile-mode", choices=list(WITHOUT_GRAPHS), default="reduce-overhead")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--math", choices=["fp32", "tf32"], default="fp32")
    parser.add_argument("--loss", choices=["mse", "qmse"], default="mse")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    require_torch_can(torch, device.type, arguments.form)
    if arguments.form == "graph" and device.type != "cuda":
        unavailable("CUDA graphs need a GPU")
    if device.type == "cpu":
        torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = arguments.math == "tf32"
    torch.backends.cudnn.allow_tf32 = arguments.math == "tf32"
    torch.backends.cudnn.benchmark = True  # the fastest algorithms, by timing

    wait_for_turn()
    try:
        training = Training(arguments, device)
    except Exception as error:  # a compiler's or a capture's failure has many types; the other programs go on
        unavailable(f"{type(error).__name__}: {error}")

    def answer(request):
        if request == "version":
            return {"version": f"PyTorch {torch.__version__}"}
        return training.epoch() if request == "epoch" else training.run(int(request))

    serve(answer)


if __name__ == "__main__":
    main()
