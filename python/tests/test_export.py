"""What qmse export writes, read by the programs that it is written for."""
import json

import numpy as np
import pytest


@pytest.fixture(scope="module")
def runs(program, small_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for loss in ("mse", "qmse"):
        for rate in (0.01, 0.1):
            program.run("train", "--dataset", "mnist", "--data", small_data, "--model", "mlp", "--mlp-widths", "8", "--batch-size", "16",
                        "--epochs", "3", "--validation", "0.2", "--device", "cpu", "--threads", "1", "--loss", loss, "--lr", rate,
                        "--out", folder / "deep" / f"{loss}-{rate}")
    return folder


def records(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_tensorboard_reads_every_number_of_every_epoch(program, runs, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    program.run("export", runs, "--format", "tensorboard", "--out", tmp_path / "events")
    folders = sorted((runs / "deep").iterdir())
    assert len(folders) == 4
    for run in folders:
        events = reader.EventAccumulator(str(tmp_path / "events" / run.name))
        events.Reload()
        epochs = records(run)
        numbers = {key for key, value in epochs[0].items() if isinstance(value, (int, float)) and key != "epoch"}
        assert set(events.Tags()["scalars"]) == numbers
        for key in numbers:
            scalars = events.Scalars(key)
            assert [each.step for each in scalars] == [1, 2, 3]
            np.testing.assert_array_equal([each.value for each in scalars], np.float32([epoch[key] for epoch in epochs]))
        times = [each.wall_time for each in events.Scalars("test_loss")]
        assert times == sorted(times) and times[0] > 1.7e9  # when the run was started, and later


def test_pandas_reads_the_table_and_its_numbers_to_the_last_bit(program, runs, tmp_path):
    pandas = pytest.importorskip("pandas")
    program.run("export", runs, "--format", "csv", "--out", tmp_path / "runs.csv")
    table = pandas.read_csv(tmp_path / "runs.csv", dtype=str)
    assert len(table) == 4 * 3
    for run in (runs / "deep").iterdir():
        rows = table[table["run"] == str(run)]
        assert set(rows["state"]) == {"finished"} and set(rows["loss"]) == {run.name.partition("-")[0]}
        for row, epoch in zip(rows.to_dict("records"), records(run), strict=True):
            for key, value in epoch.items():
                assert type(value)(row["epoch_lr" if key == "lr" else key]) == value, key
