#!/usr/bin/env python3
"""Tests scripts/golden with a stand-in for the program.  usage: golden_test.py SOURCE_DIR"""
import contextlib
import hashlib
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import sys
import tempfile
import unittest

root = pathlib.Path(sys.argv.pop(1))
loader = importlib.machinery.SourceFileLoader("golden", str(root / "scripts/golden"))
golden = importlib.util.module_from_spec(importlib.util.spec_from_loader("golden", loader))
sys.dont_write_bytecode = True
loader.exec_module(golden)


class Golden(unittest.TestCase):
    def test_names_case_and_tensor(self):
        expected = {"mse/weights": "1", "mse/weights:fc1.weight": "2", "mse/weights:fc1.bias": "3", "mse/metrics": "4", "mse/metrics:lr": "5"}
        self.assertEqual(golden.compare(dict(expected), expected, ["mse"]), [])
        found = {**expected, "mse/weights": "x", "mse/weights:fc1.bias": "y"}
        self.assertEqual(golden.compare(found, expected, ["mse"]), ["mse/weights: tensor 'fc1.bias' differs"])
        found["mse/weights:fc1.weight"] = "z"
        self.assertEqual(golden.compare(found, expected, ["mse"]), ["mse/weights: tensor 'fc1.weight' differs, and 1 more"])

    def test_names_missing_and_new_tensors_and_cases(self):
        expected = {"mse/weights": "1", "mse/weights:a": "2"}
        self.assertEqual(golden.compare({"mse/weights": "9", "mse/weights:b": "3"}, expected, ["mse"]),
                         ["mse/weights: tensor 'a' is missing, and 1 more"])
        self.assertEqual(golden.compare(expected | {"qmse/weights": "1"}, expected, ["mse", "qmse"]),
                         ["qmse: not in the list; scripts/golden --record adds it"])

    def test_choices_and_settings_without_a_case(self):
        given = {}
        for text in golden.TRAININGS.values():
            for word, value in zip(text.split(), text.split()[1:] + [""]):
                if word.startswith("--") and value and not value.startswith("--"):
                    given.setdefault(word[2:].replace("-", "_"), []).append(value)
        settings = [{"name": name, "choices": values} for name, values in given.items()]
        settings += [{"name": "dataset"}, {"name": "nesterov"}, {"name": "rmsprop_centered"}, {"name": "evaluate_train"}, {"name": "no_graph"}, {"name": "keep_best"}]
        self.assertEqual(golden.uncovered({"settings": settings}), ([], []))
        next(setting for setting in settings if setting["name"] == "loss")["choices"] = ["mse", "huber"]
        settings += [{"name": "huber_delta"}]
        self.assertEqual(golden.uncovered({"settings": settings})[0], ["--loss huber", "--huber-delta"])

    def test_a_tensor_is_hashed_as_documented(self):
        header = json.dumps({"w": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}, "__metadata__": {"a": "b"}}).encode()
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "w"
            path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(range(8)))
            tensors = golden.read_tensors(path)
        self.assertEqual(tensors, {"w": b"w f32 [1,2]\n" + bytes(range(8))})
        self.assertEqual(golden.digests("x", tensors)["x"], hashlib.sha256(tensors["w"]).hexdigest())

    def test_cases_that_take_the_c_librarys_functions(self):
        taking = {name for name in golden.case_names() if golden.takes_libm(name)}
        self.assertEqual(taking, {"cross_entropy", "cross_entropy-resumed", "tanh", "sigmoid", "adam", "step", "cosine", "robbins_monro", "epochs",
                                  "trace-cross_entropy", "trace-tanh-f64", "trace-sigmoid"})

    def test_usage(self):
        for words in (["--no-such-option"], ["/no/such/program"]):
            with contextlib.redirect_stderr(io.StringIO()) as text:
                self.assertEqual(golden.main(words), 2)
            self.assertTrue(text.getvalue())


unittest.main()
