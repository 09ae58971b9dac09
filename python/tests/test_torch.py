"""The losses for PyTorch: bits of qmse.numpy, and what PyTorch's own machinery asks of an operator."""
import inspect
import os
import threading

import numpy as np
import pytest
from conftest import problem

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import qmse.numpy  # noqa: E402
import qmse.torch  # noqa: E402

FUNCTIONS = {
    "qmse": qmse.torch.qmse_loss,
    "mse": qmse.torch.mse_loss,
    "qmse_expected": qmse.torch.qmse_expected_loss,
    "mse_noise": qmse.torch.mse_noise_loss,
    "cross_entropy": qmse.torch.cross_entropy_loss,
}
LABELS = torch.tensor([0, 2, 1, 2, 0])


def outputs(dtype=torch.float64, seed=0, shape=(5, 3)):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize("reduction", ["batch_mean", "element_mean", "none"])
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("loss", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch, classes", [(1, 1), (64, 10), (2, 8193)])
def test_values_and_gradients_have_the_bits_of_numpy(loss, batch, classes, dtype, dense, reduction):
    if loss == "cross_entropy" and reduction == "element_mean":
        return
    output, target = problem(batch, classes, dtype, dense=dense)
    options, draws = {"reduction": reduction}, {"sample_ids": np.arange(batch) * 7, "step": 3, "seed": 2**64 - 1} if loss in ("qmse", "mse_noise") else {}
    value, gradient = qmse.numpy.loss_and_gradient(output, target, loss, **options, **draws)
    if draws:
        draws["sample_ids"] = torch.from_numpy(draws["sample_ids"])
    f = torch.tensor(output, requires_grad=True)
    ours = FUNCTIONS[loss](f, torch.from_numpy(target), **options, **draws)
    ours.sum().backward()
    np.testing.assert_array_equal(ours.detach().numpy(), value)
    np.testing.assert_array_equal(f.grad.numpy(), gradient)


@pytest.mark.parametrize("options", [{"v_distribution": "rademacher"}, {"v_scope": "per_batch"}, {"q_gradient": "full"}])
def test_options_have_the_bits_of_numpy(options):
    output, target = problem(64, 10)
    value, gradient = qmse.numpy.loss_and_gradient(output, target, **options)
    f = torch.tensor(output, requires_grad=True)
    ours = qmse.torch.qmse_loss(f, torch.from_numpy(target), **options)
    ours.backward()
    assert ours.item() == value
    np.testing.assert_array_equal(f.grad.numpy(), gradient)


@pytest.mark.parametrize("distribution", ["sphere", "rademacher"])
def test_v_has_the_bits_of_numpy(distribution):
    ids = torch.tensor([0, 5, 2**32 - 2])
    v = qmse.torch.draw_direction(ids, 10, step=torch.tensor(4), seed=2**63, v_distribution=distribution)
    np.testing.assert_array_equal(v.numpy(), qmse.numpy.draw_direction(ids.numpy(), 10, step=4, seed=2**63, v_distribution=distribution))
    assert qmse.torch.draw_direction(ids.int()[:2], 10, dtype=torch.float64).dtype == torch.float64


def test_names_and_defaults_are_those_of_the_other_front_ends():
    ours = inspect.signature(qmse.torch.qmse_loss).parameters
    numpys = inspect.signature(qmse.numpy.loss_and_gradient).parameters
    assert {n: p.default for n, p in ours.items()} == {n: p.default for n, p in numpys.items() if n != "loss"}
    module = inspect.signature(qmse.torch.QMSE).parameters
    assert all(module[n].default == ours[n].default for n in module if n != "device")


def test_mse_and_cross_entropy_are_those_of_pytorch():
    f, labels = outputs(), LABELS
    one_hot = torch.nn.functional.one_hot(labels, 3).double()
    expected = torch.nn.functional.mse_loss(f, one_hot)
    torch.testing.assert_close(qmse.torch.mse_loss(f, labels, reduction="element_mean"), expected)
    torch.testing.assert_close(qmse.torch.mse_loss(f, one_hot, reduction="element_mean"), expected)
    torch.testing.assert_close(qmse.torch.cross_entropy_loss(f, labels), torch.nn.functional.cross_entropy(f, labels))


SMOOTH = {
    "full": lambda f, **o: qmse.torch.qmse_loss(f, LABELS, step=3, q_gradient="full", **o),
    "full, rademacher, per batch": lambda f, **o: qmse.torch.qmse_loss(
        f, LABELS, q_gradient="full", v_distribution="rademacher", v_scope="per_batch", **o
    ),
    "full, dense": lambda f, **o: qmse.torch.qmse_loss(f, outputs(seed=2).detach(), q_gradient="full", **o),
    "mse": lambda f, **o: qmse.torch.mse_loss(f, LABELS, **o),
    "mse, dense": lambda f, **o: qmse.torch.mse_loss(f, outputs(seed=2).detach(), **o),
    "cross-entropy": lambda f, **o: qmse.torch.cross_entropy_loss(f, LABELS, **o),
    "cross-entropy, dense": lambda f, **o: qmse.torch.cross_entropy_loss(f, outputs(seed=2).detach().abs(), **o),
}


@pytest.mark.parametrize("reduction", ["batch_mean", "none"])
@pytest.mark.parametrize("name", SMOOTH)
def test_first_and_second_derivatives_are_those_of_the_value(name, reduction):
    function = lambda f: SMOOTH[name](f, reduction=reduction)  # noqa: E731
    assert torch.autograd.gradcheck(function, outputs())
    assert torch.autograd.gradgradcheck(function, outputs())


def test_constant_is_the_derivative_with_q_frozen():
    f = outputs()
    r = torch.nn.functional.one_hot(LABELS, 3).double() - f
    v = qmse.torch.draw_direction(torch.arange(5), 3, step=3, dtype=torch.float64)
    q = torch.einsum("bi,bj->bij", r + v, r + v).detach()
    expected = torch.autograd.grad((torch.einsum("bi,bij,bj->b", r, q, r) / 2).mean(), f)[0]
    torch.testing.assert_close(torch.autograd.grad(qmse.torch.qmse_loss(f, LABELS, step=3), f)[0], expected)


@pytest.mark.parametrize("function, text", [(qmse.torch.qmse_loss, "q_gradient='full'"), (qmse.torch.qmse_expected_loss, "not the gradient"), (qmse.torch.mse_noise_loss, "and noise")])
def test_what_is_the_gradient_of_nothing_cannot_be_differentiated_twice_and_says_so(function, text):
    f = outputs()
    (gradient,) = torch.autograd.grad(function(f, LABELS), f, create_graph=True)
    with pytest.raises(RuntimeError, match=f"cannot be differentiated twice.*{text}"):
        gradient.sum().backward()


def test_a_step_that_moves_on_does_not_change_a_later_second_derivative():
    module = qmse.torch.QMSE(q_gradient="full")
    f = outputs()
    first = module(f, LABELS)
    module(f, LABELS)
    hessian = torch.autograd.grad(torch.autograd.grad(first, f, create_graph=True)[0].sum(), f)[0]
    again = qmse.torch.qmse_loss(f, LABELS, step=0, q_gradient="full")
    torch.testing.assert_close(hessian, torch.autograd.grad(torch.autograd.grad(again, f, create_graph=True)[0].sum(), f)[0], rtol=0, atol=0)


@pytest.mark.parametrize("with_ids", [False, True])
@pytest.mark.parametrize("reduction", ["batch_mean", "none"])
def test_the_operators_pass_pytorchs_own_check(reduction, with_ids):
    ids = torch.arange(5) if with_ids else None
    options = (reduction, 3, "sphere", "per_sample", "full", True)
    torch.library.opcheck(torch.ops.qmse.loss.default, (outputs().detach(), LABELS, ids, torch.tensor(2), "qmse", *options))
    torch.library.opcheck(torch.ops.qmse.direction.default, (outputs().detach(), ids, torch.tensor(2), 1, "sphere", "per_sample"))


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(6, 10)
        self.criterion = qmse.torch.QMSE(seed=4)

    def forward(self, x, labels, ids):
        return self.criterion(self.layer(x), labels, ids)


def batches(sizes):
    generator = torch.Generator().manual_seed(5)
    for size in sizes:
        x = torch.randn(size, 6, generator=generator)
        yield x, torch.randint(0, 10, (size,), generator=generator), torch.randint(0, 60000, (size,), generator=generator)


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_compiled_training_has_one_graph_and_the_bits_of_eager_mode(dynamic):
    torch._dynamo.reset()
    torch.manual_seed(1)
    eager = Network()
    compiled_network = Network()
    compiled_network.load_state_dict(eager.state_dict())
    graphs = []

    def count(graph, example_inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(compiled_network, fullgraph=True, dynamic=dynamic or None, backend=count)
    sizes = [3 + i % 7 for i in range(20)] if dynamic else [8] * 20
    for x, labels, ids in batches(sizes):
        losses = []
        for call, network in ((eager, eager), (compiled, compiled_network)):
            network.zero_grad()
            loss = call(x, labels, ids)
            loss.backward()
            losses.append(loss.item())
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter -= 0.01 * parameter.grad
        assert losses[0] == losses[1]
    assert len(graphs) == 1
    assert compiled_network.criterion.step.item() == 20
    for a, b in zip(eager.parameters(), compiled_network.parameters()):
        assert torch.equal(a, b)


def test_aot_autograd_compiles_forward_and_backward():
    torch._dynamo.reset()
    network = Network()
    for function in (lambda *a: network(*a), torch.compile(lambda *a: network(*a), fullgraph=True, backend="aot_eager")):
        network.criterion.step.zero_()
        gradients = []
        for batch in batches([8, 8]):
            network.zero_grad()
            function(*batch).backward()
            gradients.append(network.layer.weight.grad.clone())
        if function.__name__ == "<lambda>" and "expected" not in locals():
            expected = gradients
    for a, b in zip(expected, gradients):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("q_gradient", ["constant", "full"])
def test_vmap_has_the_bits_of_a_loop(q_gradient):
    stack, labels = torch.stack([outputs(seed=i).detach() for i in range(4)]), torch.stack([LABELS.roll(i) for i in range(4)])
    loss = lambda f, y: qmse.torch.qmse_loss(f, y, step=2, q_gradient=q_gradient)  # noqa: E731
    expected = torch.stack([loss(f, y) for f, y in zip(stack, labels)])
    assert torch.equal(torch.func.vmap(loss)(stack, labels), expected)
    each = [torch.func.grad(loss)(f, y) for f, y in zip(stack, labels)]
    assert torch.equal(torch.func.vmap(torch.func.grad(loss))(stack, labels), torch.stack(each))
    assert torch.equal(torch.func.vmap(loss, in_dims=(1, None))(stack.transpose(0, 1), LABELS), torch.stack([loss(f, LABELS) for f in stack]))


def test_hessians_of_torch_func():
    f = outputs().detach()
    hessian = torch.func.jacrev(torch.func.jacrev(lambda f: qmse.torch.mse_loss(f, LABELS)))(f)
    torch.testing.assert_close(hessian.reshape(15, 15), torch.eye(15, dtype=torch.float64) / 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_under_autocast_the_loss_is_calculated_in_f32(dtype):
    half = outputs(torch.float32).detach().to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=dtype if dtype == torch.bfloat16 else torch.bfloat16):
        loss = qmse.torch.qmse_loss(half, LABELS)
    full = half.detach().float().requires_grad_()
    expected = qmse.torch.qmse_loss(full, LABELS)
    assert loss.dtype == torch.float32 and loss.item() == expected.item()
    loss.backward()
    expected.backward()
    assert half.grad.dtype == dtype and torch.equal(half.grad, full.grad.to(dtype))
    with pytest.raises(TypeError, match="torch.autocast"):
        qmse.torch.qmse_loss(half, LABELS)


def test_an_empty_batch():
    f = torch.zeros(0, 10, requires_grad=True)
    loss = qmse.torch.qmse_loss(f, torch.zeros(0, dtype=torch.int64))
    assert torch.isnan(loss)
    loss.backward()
    assert f.grad.shape == (0, 10)
    assert qmse.torch.mse_loss(f, torch.zeros(0, 10), reduction="none").shape == (0,)


def test_inputs_may_be_strided_and_are_left_as_they_are():
    f, labels = outputs(torch.float32, shape=(6, 10)), torch.arange(6)
    wide = torch.stack([f.detach(), f.detach()], 2).transpose(0, 1).contiguous().transpose(0, 1)[:, :, 0].requires_grad_()
    assert not wide.is_contiguous()
    before = wide.detach().clone()
    loss, expected = qmse.torch.qmse_loss(wide, labels.flip(0).flip(0)), qmse.torch.qmse_loss(f, labels)
    assert loss.item() == expected.item()
    loss.backward()
    expected.backward()
    assert torch.equal(wide.grad, f.grad) and torch.equal(wide.detach(), before)


def test_gradients_other_than_one_and_no_gradient():
    f = outputs()
    weights = torch.tensor([1.0, -2, 0, 0.5, 4], dtype=torch.float64)
    (weighted,) = torch.autograd.grad((weights * qmse.torch.qmse_loss(f, LABELS, reduction="none")).sum(), f)
    (each,) = torch.autograd.grad(qmse.torch.qmse_loss(f, LABELS, reduction="none").sum(), f)
    torch.testing.assert_close(weighted, weights[:, None] * each, rtol=0, atol=0)
    (scaled,) = torch.autograd.grad(-3 * qmse.torch.qmse_loss(f, LABELS), f)
    torch.testing.assert_close(scaled, -3 * each / 5)
    assert not qmse.torch.qmse_loss(f.detach(), LABELS).requires_grad
    with torch.no_grad():
        assert not qmse.torch.qmse_loss(f, LABELS).requires_grad


def test_the_seed_of_pytorch_has_no_influence():
    torch.manual_seed(1)
    one = qmse.torch.qmse_loss(outputs(), LABELS)
    torch.manual_seed(2)
    assert one.item() == qmse.torch.qmse_loss(outputs(), LABELS).item()
    assert one.item() != qmse.torch.qmse_loss(outputs(), LABELS, seed=2).item()


def test_the_module_counts_in_training_and_gives_the_closed_form_in_evaluation():
    module = qmse.torch.QMSE(seed=3, reduction="none")
    f = outputs()
    for step in range(3):
        assert torch.equal(module(f, LABELS), qmse.torch.qmse_loss(f, LABELS, step=step, seed=3, reduction="none"))
    assert torch.equal(module.eval()(f, LABELS), qmse.torch.qmse_expected_loss(f, LABELS, reduction="none"))
    assert module.step.item() == 3
    other = qmse.torch.QMSE(seed=3, reduction="none")
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(f, LABELS), qmse.torch.qmse_loss(f, LABELS, step=3, seed=3, reduction="none"))
    assert "seed=3" in repr(module)


@pytest.mark.parametrize(
    "change, error, text",
    [
        ({"target": torch.tensor([0, 3, 1])}, ValueError, r"labels\[1\] is 3, must be 0 to 2"),
        ({"target": torch.tensor([0, 1, -1])}, ValueError, r"labels\[2\] is -1"),
        ({"target": torch.tensor([0, 1])}, ValueError, r"labels must have the shape \[3\]"),
        ({"target": torch.zeros(3, 3, dtype=torch.float64)}, TypeError, "dense targets of output's torch.float32"),
        ({"target": torch.zeros(3, dtype=torch.uint8)}, TypeError, "labels of int32 or int64"),
        ({"target": torch.zeros(3, 3, requires_grad=True)}, ValueError, "target must not require a gradient"),
        ({"target": [0, 1, 2]}, TypeError, "must be tensors"),
        ({"output": torch.zeros(3)}, ValueError, r"\[batch, classes\]"),
        ({"output": torch.zeros(3, 3, device="meta")}, TypeError, "CPU or a CUDA device"),
        ({"sample_ids": torch.tensor([0, 1])}, ValueError, "sample_ids must have the shape"),
        ({"sample_ids": torch.tensor([0, 1, 2**32 - 1])}, ValueError, r"sample_ids\[2\] is 4294967295"),
        ({"sample_ids": torch.tensor([0.0, 1, 2])}, TypeError, "sample_ids must be a tensor of int32 or int64"),
        ({"step": torch.tensor([1])}, TypeError, "step must be a whole number or a tensor"),
        ({"step": -1}, ValueError, "step must be"),
        ({"seed": 2**64}, ValueError, "seed must be 0 to 18446744073709551615"),
        ({"reduction": "mean"}, ValueError, "reduction must be one of"),
    ],
)
def test_errors_say_what_is_wrong(change, error, text):
    arguments = {"output": torch.zeros(3, 3), "target": torch.tensor([0, 1, 2]), **change}
    with pytest.raises(error, match=text):
        qmse.torch.qmse_loss(**arguments)


def test_an_older_pytorch_is_an_import_error_that_names_both_versions(monkeypatch):
    import importlib

    monkeypatch.setattr(torch, "__version__", "2.3.1+cpu")
    with pytest.raises(ImportError, match=r"qmse .* needs PyTorch 2\.4 or later; this is PyTorch 2\.3\.1"):
        importlib.reload(qmse.torch)


def test_threads_at_once_and_a_forked_process():
    f = outputs(torch.float32, shape=(512, 700))
    labels = torch.arange(512) % 700

    def gradient():
        return torch.autograd.grad(qmse.torch.qmse_loss(f, labels), f)[0]

    expected, seen = gradient(), []
    threads = [threading.Thread(target=lambda: seen.append(gradient())) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(seen) == 2 and all(torch.equal(g, expected) for g in seen)
    expected = expected.numpy().tobytes()
    child = os.fork()
    if child == 0:  # without PyTorch's autograd and its parallel loops, whose threads do not survive a fork
        value = torch.ops.qmse.loss(f.detach(), labels, None, torch.tensor(0), "qmse", "batch_mean", 1, "sphere", "per_sample", "constant", True)
        os._exit(0 if value[1].numpy().tobytes() == expected else 1)
    assert os.waitpid(child, 0)[1] == 0


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@cuda
@pytest.mark.parametrize("loss", FUNCTIONS)
@pytest.mark.parametrize("batch, classes", [(64, 10), (3, 600), (2, 8193)])
def test_on_a_gpu_losses_agree_and_v_has_the_same_bits(loss, batch, classes):
    output, target = (torch.from_numpy(x) for x in problem(batch, classes))
    ids = torch.arange(batch) * 3
    assert torch.equal(qmse.torch.draw_direction(ids.cuda(), classes).cpu(), qmse.torch.draw_direction(ids, classes))
    results = []
    for device in ("cpu", "cuda"):
        f = output.clone().to(device).detach().requires_grad_()
        value = FUNCTIONS[loss](f, target.to(device))
        value.backward()
        results.append((value.detach().cpu(), f.grad.cpu()))
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@cuda
@pytest.mark.parametrize("options", [{"v_distribution": "rademacher"}, {"v_scope": "per_batch"}, {"q_gradient": "full"}, {"reduction": "none"}])
@pytest.mark.parametrize("dense", [False, True])
def test_on_a_gpu_options_agree_with_the_cpu(options, dense):
    output, target = (torch.from_numpy(x) for x in problem(37, 10, dense=dense))
    results = []
    for device in ("cpu", "cuda"):
        f = output.clone().to(device).detach().requires_grad_()
        value = qmse.torch.qmse_loss(f, target.to(device), step=2, seed=2**64 - 1, **options)
        value.sum().backward()
        results.append((value.detach().cpu(), f.grad.cpu()))
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@cuda
def test_on_a_gpu_the_operators_pass_pytorchs_own_check():
    f, labels, step = outputs(torch.float32).detach().cuda(), LABELS.cuda(), torch.tensor(2, device="cuda")
    options = ("batch_mean", 3, "sphere", "per_sample", "full", True)
    torch.library.opcheck(torch.ops.qmse.loss.default, (f, labels, None, step, "qmse", *options))
    torch.library.opcheck(torch.ops.qmse.direction.default, (f, None, step, 1, "sphere", "per_sample"))


@cuda
def test_on_a_gpu_a_compiled_training_has_the_bits_of_eager_mode():
    torch._dynamo.reset()
    torch.manual_seed(1)
    eager, compiled_network = Network().cuda(), Network().cuda()
    compiled_network.load_state_dict(eager.state_dict())
    compiled = torch.compile(compiled_network, fullgraph=True, backend="aot_eager")
    for x, labels, ids in batches([8] * 20):
        losses = []
        for call, network in ((eager, eager), (compiled, compiled_network)):
            network.zero_grad()
            loss = call(x.cuda(), labels.cuda(), ids.cuda())
            loss.backward()
            losses.append(loss.item())
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter -= 0.01 * parameter.grad
        assert losses[0] == losses[1]
    assert compiled_network.criterion.step.item() == 20


@cuda
def test_on_a_gpu_another_stream_and_autocast():
    output, target = (torch.from_numpy(x) for x in problem(64, 10))
    expected = qmse.torch.qmse_loss(output, target).item()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        f = (output.cuda(non_blocking=False) + 1) - 1
        torch.cuda._sleep(10_000_000)  # what the loss reads is written late on its stream
        late = f * 2 / 2
        loss = qmse.torch.qmse_loss(late, target.cuda())
    stream.synchronize()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        half = qmse.torch.qmse_loss(output.cuda().bfloat16(), target.cuda())
    assert half.dtype == torch.float32 and half.item() == pytest.approx(expected, rel=2e-2)


@cuda
def test_on_a_gpu_labels_out_of_range_give_nan_and_no_gradient():
    f = torch.zeros(3, 4, device="cuda", requires_grad=True)
    loss = qmse.torch.qmse_loss(f, torch.tensor([0, 4, -1], device="cuda"), reduction="none")
    loss.nansum().backward()
    assert torch.isnan(loss).tolist() == [False, True, True]
    assert f.grad[1:].abs().sum() == 0 and f.grad[0].abs().sum() > 0


@cuda
def test_on_a_gpu_a_graph_draws_anew_at_every_replay():
    module, f = qmse.torch.QMSE().cuda(), torch.randn(8, 10, device="cuda")
    labels = torch.arange(8, device="cuda")
    module(f, labels)
    module.step.zero_()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = module(f, labels)
    module.step.zero_()
    for step in range(3):
        graph.replay()
        assert captured.item() == qmse.torch.qmse_loss(f, labels, step=step).item()
