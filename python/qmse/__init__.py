"""The QMSE loss for PyTorch (qmse.torch), JAX (qmse.jax) and NumPy (qmse.numpy), and the runs, traces and weights of the engine (qmse.io).

Each is imported by name, so that none needs the packages of another."""

__version__ = "0.1.0"
