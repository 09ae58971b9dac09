"""The QMSE loss of bench/qmse_loss.cpp in PyTorch, value and gradient of the outputs, same protocol.

Forms: `eager`, the loss with autograd's backward; `compile`, the same through torch.compile; `compile-formula`, value and
gradient as written-out formulas through torch.compile, which leaves autograd no work. Before it is ready it must get, for our
small case with our v, our losses and our gradient; and its own v must be unit vectors.
"""
import argparse
import time

from state import read_safetensors, require_torch_can, serve, unavailable, wait_for_turn

try:
    import torch
except ImportError as error:
    unavailable(error)

TOLERANCE = 1e-4  # relative, in f32, over rows of up to a million


def draw(like, distribution):
    if distribution == "rademacher":
        signs = torch.randint_like(like, 0, 2) * 2 - 1
        return signs / like.shape[1] ** 0.5
    return torch.nn.functional.normalize(torch.randn_like(like), dim=1)


def residual_of(output, target):
    """target: dense targets, or labels."""
    if target.dtype == torch.float32:
        return target - output
    classes = torch.arange(output.shape[1], device=output.device)
    return (target[:, None] == classes).float() - output


def sample_losses(residual, v):
    q_vector = (residual + v).detach()
    return 0.5 * (q_vector * residual).sum(1).square()


def by_autograd(output, target, v):
    output = output.detach().requires_grad_()
    losses = sample_losses(residual_of(output, target), v)
    losses.mean().backward()
    return losses.detach(), output.grad


def by_formula(output, target, v):
    residual = residual_of(output, target)
    a = ((residual + v) * residual).sum(1, keepdim=True)
    return 0.5 * a.square()[:, 0], -a * (residual + v) / len(output)


def relative_error(ours, theirs):
    return ((ours.double() - theirs.double()).norm() / theirs.double().norm()).item()


def make_call(form, distribution, output, target):
    """The function that is timed, and the same with v given."""
    if form == "compile-formula":
        with_v = torch.compile(by_formula, mode="max-autotune-no-cudagraphs")

        def fresh(output, target):
            return by_formula(output, target, draw(output, distribution))

        fresh = torch.compile(fresh, mode="max-autotune-no-cudagraphs")
        return lambda: fresh(output, target), with_v

    def mean_loss(output, target):
        residual = residual_of(output, target)
        return sample_losses(residual, draw(residual, distribution)).mean()

    if form == "compile":
        mean_loss = torch.compile(mean_loss, mode="max-autotune-no-cudagraphs")
    variable = output.detach().requires_grad_()

    def call():
        variable.grad = None
        mean_loss(variable, target).backward()

    return call, by_autograd


def check(arguments, device, with_v):
    ours = {name: torch.from_numpy(values).to(device) for name, values in read_safetensors(arguments.state).items()}
    target = ours["targets"] if "targets" in ours else ours["labels"].long()
    losses, gradient = with_v(ours["output"], target, ours["v"])
    for name, theirs in (("sample_loss", losses), ("gradient", gradient)):
        error = relative_error(ours[name], theirs)
        if not error <= TOLERANCE:
            unavailable(f"the {name} of our small case differs by {error:.2g} (relative)")
    for source, v in (("ours", ours["v"]), ("its own", draw(ours["output"], arguments.distribution))):
        error = (v.double().norm(dim=1) - 1).abs().max().item()
        if not error <= 1e-4:
            unavailable(f"v is no unit vector ({source}: off by {error:.2g})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", required=True)
    parser.add_argument("--form", choices=["eager", "compile", "compile-formula"], default="eager")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--targets", choices=["labels", "dense"], default="labels")
    parser.add_argument("--distribution", choices=["sphere", "rademacher"], default="sphere")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    require_torch_can(torch, device.type, arguments.form)
    if device.type == "cpu":
        torch.set_num_threads(arguments.threads)

    def synchronize():
        if device.type == "cuda":
            torch.cuda.synchronize()

    wait_for_turn()
    try:
        output = torch.randn(arguments.batch, arguments.classes, device=device)
        if arguments.targets == "dense":
            target = torch.randn_like(output)
        else:
            target = torch.randint(arguments.classes, (arguments.batch,), device=device)
        call, with_v = make_call(arguments.form, arguments.distribution, output, target)
        check(arguments, device, with_v)
        for _ in range(3):
            call()
        synchronize()
    except Exception as error:  # a compiler's failure has many types; the other programs go on
        unavailable(f"{type(error).__name__}: {error}")

    def answer(request):
        if request == "version":
            return {"version": f"PyTorch {torch.__version__}"}
        calls = int(request)
        synchronize()
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        synchronize()
        return {"seconds": time.perf_counter() - begin, "steps": calls}

    serve(answer)


if __name__ == "__main__":
    main()
