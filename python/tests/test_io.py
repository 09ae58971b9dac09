"""Runs, sweeps, snapshots and weights that the engine wrote, and weights that it takes back."""
import json

import numpy as np
import pytest
from conftest import write_idx

import qmse.io

SMALL = ["--dataset", "mnist", "--device", "cpu", "--batch-size", 16]


@pytest.fixture(scope="module")
def run(program, small_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "first"
    program.run(
        *("train", *SMALL, "--data", small_data, "--conv-channels", "3,4", "--fc-width", 9, "--epochs", 3, "--snapshot-every", 2, "--out", out)
    )
    return out


def test_runs_become_a_table_with_a_row_an_epoch(run):
    pytest.importorskip("pandas", reason="pandas is not installed")
    table = qmse.io.read_runs(run.parent)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert list(table["epoch"]) == [1, 2, 3]
    assert list(table["train_loss"]) == [line["train_loss"] for line in lines]
    assert set(table["run"]) == {"first"} and set(table["end"]) == {"finished"}
    assert set(table["conv_channels"]) == {(3, 4)} and set(table["lr"]) == {0.01} and set(table["epoch_lr"]) == {0.01}
    assert list(qmse.io.read_runs(run)["run"]) == ["."] * 3


def test_a_run_that_goes_on_or_is_damaged_hides_no_other(run, tmp_path):
    pytest.importorskip("pandas", reason="pandas is not installed")
    for name, config, metrics in (
        ("going-on", '{"lr": 1}', '{"epoch": 1, "train_loss": null}\n{"epoch": 2, "tra'),
        ("damaged", '{"lr": ', ""),
        ("other", '{"lr": 2}', '{"epoch": 1, "train_loss": 0.5}\n'),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(config)
        (tmp_path / name / "metrics.jsonl").write_text(metrics)
    with pytest.warns(UserWarning, match="damaged.*left out"):
        table = qmse.io.read_runs(tmp_path)
    assert list(table["run"]) == ["going-on", "other"]
    assert np.isnan(table["train_loss"][0]) and table["end"].isna().all()
    assert [path for path, _ in table.attrs["unreadable"]] == [str(tmp_path / "damaged")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no run"):
        qmse.io.read_runs(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        qmse.io.read_runs(tmp_path / "nowhere")


def test_a_sweep_becomes_a_table(program, small_data, tmp_path):
    pytest.importorskip("pandas", reason="pandas is not installed")
    base = {"dataset": "mnist", "data": str(small_data), "model": "mlp", "mlp_widths": [5], "epochs": 2, "device": "cpu"}
    (tmp_path / "sweep.json").write_text(json.dumps({"base": base, "grid": {"loss": ["mse", "qmse"], "lr": [0.01, 0.1]}}))
    program.run("sweep", tmp_path / "sweep.json", "--out", tmp_path / "out")
    table = qmse.io.read_sweep(tmp_path / "out")
    assert len(table) == 8 and set(table["status"]) == {"finished"}
    assert len(table.attrs["members"]) == 4 and table.attrs["members"][0]["lr"] == 0.01
    last = table[table["epoch"] == 2].set_index("member")["train_loss"]
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {m["name"]: m["last"]["train_loss"] for m in results["members"]} == last.to_dict()
    assert set(table.groupby(["loss", "lr"]).size()) == {2}


def test_snapshots_are_the_weights_of_their_epochs(run):
    snapshots = dict(qmse.io.read_snapshots(run))
    assert list(snapshots) == [2]
    assert snapshots[2]["conv1.weight"].shape == (3, 1, 3, 3)


def test_a_trace_is_no_weights_file(run):
    with pytest.raises(ValueError, match="no 'qmse.config'|no traced step"):
        qmse.io.read_trace(run / "model.safetensors")
    with pytest.raises(ValueError, match="no safetensors file"):
        qmse.io.read_trace(run / "config.json")


@pytest.mark.parametrize("network", [["--conv-channels", "3,4", "--fc-width", 9], ["--model", "mlp", "--mlp-widths", "6,5", "--activation", "tanh"]])
def test_a_model_calculates_what_the_engine_does_and_goes_back(program, small_data, tmp_path, network):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    common = [*SMALL, "--data", small_data]
    program.run("trace", *common, *network, "--out", tmp_path / "first.safetensors")
    program.run("train", *common, *network, "--epochs", 2, "--out", tmp_path / "run")
    trace = qmse.io.read_trace(tmp_path / "first.safetensors")
    model = qmse.io.load_model(tmp_path / "first.safetensors")
    data = qmse.io.Dataset("mnist", "train", data=small_data)
    order = data.order(0, seed=1)[:16]
    np.testing.assert_array_equal(model.normalize(torch.from_numpy(data.images[order])).numpy(), trace.tensors["input"])
    with torch.no_grad():
        np.testing.assert_allclose(model(torch.from_numpy(data.images[order])).numpy(), trace.tensors["output"], atol=1e-5)

    for source in ("run", "run/model.safetensors", "run/checkpoint.safetensors"):
        model = qmse.io.load_model(tmp_path / source)
        qmse.io.save_model(model, tmp_path / "back.safetensors")
        ours, metadata = read(tmp_path / "back.safetensors")
        theirs, their_metadata = read(tmp_path / "run" / "model.safetensors")
        assert {k: v.tobytes() for k, v in ours.items()} == {k: v.tobytes() for k, v in theirs.items()}
        assert metadata == {k: v for k, v in their_metadata.items() if k != "qmse.step"}
    evaluated = []
    for name in ("run/model.safetensors", "back.safetensors"):
        result = json.loads(program.run("evaluate", "--weights", tmp_path / name, "--data", small_data).splitlines()[-1])
        evaluated.append({key: result[key] for key in ("loss", "residual_sq", "accuracy", "confusion_matrix")})
    assert evaluated[0] == evaluated[1]
    program.run("train", *common, *network, "--epochs", 1, "--init-from", tmp_path / "back.safetensors", "--out", tmp_path / "on")


def read(path):
    from qmse.io import _files

    return _files.read_safetensors(path)


def test_only_what_was_loaded_is_saved(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with pytest.raises(TypeError, match="load_model"):
        qmse.io.save_model(torch.nn.Linear(2, 3), tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_yields_image_label_and_index_in_the_order_of_an_epoch(small_data):
    data = qmse.io.Dataset("mnist", "train", data=small_data, limit=50)
    image, label, index = data[-1]
    assert (tuple(image.shape), index, len(data)) == ((1, 8, 8), 49, 50)
    assert label == data.labels[49]
    with pytest.raises(IndexError):
        data[50]
    order = data.order(2, seed=3)
    assert sorted(order) == list(range(50)) and list(order) != list(data.order(3, seed=3))


def test_a_data_set_is_found_as_the_engine_finds_it(small_data, monkeypatch, tmp_path):
    monkeypatch.setenv("QMSE_DATA", str(small_data))
    assert len(qmse.io.Dataset("mnist", "test")) == 20
    monkeypatch.setenv("QMSE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="qmse data fetch"):
        qmse.io.Dataset("mnist", "test")


def test_cifar_in_its_binary_format(tmp_path):
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    for folder, files, kinds in (("cifar-10-batches-bin", [f"data_batch_{i}.bin" for i in range(1, 6)], 1), ("cifar-100-binary", ["train.bin"], 2)):
        (tmp_path / folder).mkdir()
        for number, name in enumerate(files):
            records = [bytes([number, number + 1][:kinds]) + image.tobytes() for image in images]
            (tmp_path / folder / name).write_bytes(b"".join(records))
    ten = qmse.io.Dataset("cifar10", "train", data=tmp_path)
    assert len(ten) == 30 and list(ten.labels[::6]) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(ten.images[:6], images)
    assert set(qmse.io.Dataset("cifar100", "train", data=tmp_path, labels="coarse").labels) == {0}
    assert set(qmse.io.Dataset("cifar100", "train", data=tmp_path).labels) == {1}


@pytest.mark.parametrize("name, split, labels", [("imagenet", "train", "fine"), ("mnist", "valid", "fine"), ("mnist", "train", "rough")])
def test_what_there_is_not_is_said(small_data, name, split, labels):
    with pytest.raises(ValueError, match="must be"):
        qmse.io.Dataset(name, split, data=small_data, labels=labels)


def test_a_damaged_idx_file_is_named(tmp_path):
    (tmp_path / "mnist").mkdir()
    write_idx(tmp_path / "mnist" / "train-images-idx3-ubyte", np.zeros((3, 2, 2)))
    path = tmp_path / "mnist" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="train-images.*not what its header says"):
        qmse.io.Dataset("mnist", "train", data=tmp_path)
    with pytest.raises(FileNotFoundError, match="t10k-images"):
        qmse.io.Dataset("mnist", "test", data=tmp_path)
