"""The engine's data sets in NumPy, with its labels and its order."""
import gzip
import os

import numpy as np

from qmse import numpy as _numpy

_IDX = {"mnist": "mnist", "fashion-mnist": "fashion-mnist"}
_CIFAR = {
    "cifar10": ("cifar-10-batches-bin", [f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"], ("fine",)),
    "cifar100": ("cifar-100-binary", ["train.bin"], ["test.bin"], ("coarse", "fine")),
}


class Dataset:
    """Images of a data set, as the engine reads them: dataset[i] is (image, label, i).

    name: "mnist", "fashion-mnist", "cifar10", "cifar100" or "folder"; split: "train" or "test". data: the folder that
    holds the data sets' folders; without it, as for the engine, the environment variable QMSE_DATA, else ~/.cache/qmse
    and /usr/share/datasets. For "folder" it is the one that holds train/ and test/ (Pillow reads the pictures).
    labels: "fine" or "coarse", of cifar100. limit: the first so many images only; 0 for all.

    An image is uint8 [C, H, W] (a tensor where PyTorch is loaded), as qmse.io.load_model()'s modules take it; .images
    [N, C, H, W] and .labels [N] are all of them as arrays. order(epoch, seed=...) is the order of a training's epoch,
    which torch.utils.data.DataLoader takes as its sampler.
    """

    def __init__(self, name, split, *, data=None, labels="fine", limit=0):
        if split not in ("train", "test"):
            raise ValueError(f"split must be 'train' or 'test', not {split!r}")
        if labels not in ("fine", "coarse"):
            raise ValueError(f"labels must be 'fine' or 'coarse', not {labels!r}")
        if name in _IDX:
            self.images, self.labels = _read_idx(_folder(_IDX[name], data), split)
        elif name in _CIFAR:
            self.images, self.labels = _read_cifar(name, data, split, labels)
        elif name == "folder":
            if data is None:
                raise ValueError("the data set 'folder' needs data=, the folder that holds train/ and test/")
            self.images, self.labels = _read_folder(os.path.join(os.fspath(data), split))
        else:
            raise ValueError(f"name must be one of {', '.join([*_IDX, *_CIFAR, 'folder'])}, not {name!r}")
        if limit:
            self.images, self.labels = self.images[:limit], self.labels[:limit]
        self.name, self.split = name, split

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        index = range(len(self))[index]  # negative ones count from the end; IndexError
        return _tensor(self.images[index]), int(self.labels[index]), index

    def order(self, epoch, *, seed=1):
        """Indices in the order in which a training with this --seed-data goes through the images in its epoch, the first being 0."""
        return _numpy.epoch_order(len(self), epoch, seed=seed)


def _tensor(image):
    import sys

    torch = sys.modules.get("torch")
    return image if torch is None else torch.from_numpy(image)


def _roots(data):
    if data is not None:
        return [os.fspath(data)]
    if os.environ.get("QMSE_DATA"):
        return [os.environ["QMSE_DATA"]]
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return [os.path.join(cache, "qmse"), "/usr/share/datasets"]


def _folder(name, data):
    tried = [os.path.join(root, name) for root in _roots(data)]
    for folder in tried:
        if os.path.isdir(folder):
            return folder
    raise FileNotFoundError(f"no folder {' or '.join(tried)}; qmse data fetch gets data sets, data= or QMSE_DATA says where they are")


def _content(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        return file.read()


def _idx(folder, stem, dimensions):
    names = [spelling + end for spelling in (stem, stem.replace("-idx", ".idx")) for end in ("", ".gz")]
    path = next((os.path.join(folder, name) for name in names if os.path.exists(os.path.join(folder, name))), None)
    if path is None:
        raise FileNotFoundError(f"'{folder}' has no {stem}, plain or .gz")
    content = _content(path)
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, 8, dimensions)):
        raise ValueError(f"'{path}' is no IDX file of bytes in {dimensions} dimensions")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    if len(content) != header + int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"'{path}' has {len(content)} bytes, which is not what its header says")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()


def _read_idx(folder, split):
    prefix = "train" if split == "train" else "t10k"
    images = _idx(folder, f"{prefix}-images-idx3-ubyte", 3)
    labels = _idx(folder, f"{prefix}-labels-idx1-ubyte", 1)
    if len(images) != len(labels):
        raise ValueError(f"'{folder}' has {len(images)} images and {len(labels)} labels for {split}")
    return images[:, None], labels.astype(np.int64)


def _read_cifar(name, data, split, labels):
    folder, train, test, kinds = _CIFAR[name]
    folder = _folder(folder, data)
    size = len(kinds) + 3 * 32 * 32
    parts = []
    for file in train if split == "train" else test:
        content = _content(os.path.join(folder, file))
        if not content or len(content) % size != 0:
            raise ValueError(f"'{os.path.join(folder, file)}' has {len(content)} bytes, not a multiple of {size}")
        parts.append(np.frombuffer(content, np.uint8).reshape(-1, size))
    records = np.concatenate(parts)
    column = kinds.index(labels if len(kinds) > 1 else "fine")
    return np.ascontiguousarray(records[:, len(kinds) :]).reshape(-1, 3, 32, 32), records[:, column].astype(np.int64)


def _read_folder(folder):
    if any(name.startswith(("train-images", "t10k-images")) for name in os.listdir(os.path.dirname(folder))):
        return _read_idx(os.path.dirname(folder), os.path.basename(folder))
    try:
        import PIL.Image
    except ImportError:
        raise ImportError("pictures of a folder are read with Pillow, which is not installed: pip install pillow") from None

    def entries(path):
        return sorted((os.path.join(path, name) for name in os.listdir(path) if not name.startswith(".")), key=os.fsencode)

    classes = [entries(path) for path in entries(folder)]
    images, labels = [], []
    for place in range(max(map(len, classes), default=0)):  # the first of each class, then the second of each
        for label, files in enumerate(classes):
            if place < len(files):
                with PIL.Image.open(files[place]) as picture:
                    pixels = np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))
                images.append(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
                labels.append(label)
    if len({image.shape for image in images}) != 1:
        raise ValueError(f"'{folder}' has no pictures, or pictures of several sizes")
    return np.stack(images), np.array(labels, np.int64)
