"""Runs, sweeps, traces, weights and images of the engine. Each function imports what it needs: pandas for tables, PyTorch for models."""
from qmse.io._datasets import Dataset
from qmse.io._runs import read_runs, read_snapshots, read_sweep, read_trace
from qmse.io._weights import load_model, save_model

__all__ = ["Dataset", "load_model", "read_runs", "read_snapshots", "read_sweep", "read_trace", "save_model"]
