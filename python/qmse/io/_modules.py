"""The engine's networks in PyTorch."""
import torch
from torch import nn

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "identity": nn.Identity}


def _layers(description):
    """Names and layers, in order; the parameters are called as in the engine's files."""
    channels, height, width = description["input_shape"]
    classes, layers = description["classes"], []
    if description["model"] == "cnn":
        size = description["kernel_size"]
        for number, count in enumerate(description["conv_channels"], 1):
            layers += [(f"conv{number}", nn.Conv2d(channels, count, size, padding=size // 2)), (f"relu{number}", nn.ReLU())]
            layers += [(f"pool{number}", nn.MaxPool2d(2))]
            channels, height, width = count, height // 2, width // 2
        layers += [("flatten", nn.Flatten()), ("fc1", nn.Linear(channels * height * width, description["fc_width"]))]
        return layers + [("relu_fc1", nn.ReLU()), ("fc2", nn.Linear(description["fc_width"], classes))]
    if description["model"] == "mlp":
        inputs = channels * height * width
        layers += [("flatten", nn.Flatten())]
        for number, count in enumerate(description["mlp_widths"], 1):
            layers += [(f"fc{number}", nn.Linear(inputs, count)), (f"act{number}", _ACTIVATIONS[description["activation"]]())]
            inputs = count
        return layers + [(f"fc{len(description['mlp_widths']) + 1}", nn.Linear(inputs, classes))]
    raise ValueError(f"the network '{description['model']}' is not known to this version of the package; it knows cnn and mlp")


class Network(nn.Module):
    """A network of the engine. See qmse.io.load_model()."""

    def __init__(self, description, normalization, class_names, card):
        super().__init__()
        self.description, self.normalization, self.class_names, self.card = description, normalization, class_names, card
        self._order = []
        for name, layer in _layers(description):
            self.add_module(name, layer)
            self._order.append(name)
        mean, stddev = (torch.tensor(normalization[key], dtype=torch.float64).reshape(-1, 1, 1) for key in ("mean", "stddev"))
        # Rounded to float32 as the engine does.
        self.register_buffer("_scale", (1 / (255 * stddev)).float(), persistent=False)
        self.register_buffer("_shift", (-mean / stddev).float(), persistent=False)

    def normalize(self, pixels):
        """Pixels (0 to 255) [B, C, H, W] as the network takes them: scale and shift with one rounding."""
        return (pixels.double() * self._scale.double() + self._shift.double()).to(self._scale.dtype)

    def outputs(self, x):
        """The outputs [B, classes] for images that are normalised already."""
        for name in self._order:
            x = getattr(self, name)(x)
        return x

    def forward(self, pixels):
        return self.outputs(self.normalize(pixels))

