"""Files of network code as users write them, for tests: each test writes what it needs into a folder of its own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

NET = '''
"""A network as its author wrote it."""
import torch
from torch import nn
from torch.nn import functional as F

print("imported")


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.pool, self.mix = nn.MaxPool2d(4, 4), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return x * torch.sigmoid(F.interpolate(self.mix(self.pool(x)), size=x.shape[2:], mode="bilinear",
                                               align_corners=False))


class Net(nn.Module):
    def __init__(self, width: int, scale=2, norm=True):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
        self.head, self.attention = nn.Conv2d(3, width, 3, padding=1), Attention(width)
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.tail, self.shuffle = nn.Conv2d(width, 3 * scale ** 2, 3, padding=1), nn.PixelShuffle(scale)

    def forward(self, x):
        return self.shuffle(self.tail(self.gain * self.attention(self.norm(self.head(x)))))


class Other(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)

    def forward(self, x):
        return nn.functional.pixel_shuffle(self.second(self.first(x)), 2)
'''

ODD = '''
import torch
from torch import nn
from torch.nn import functional as F


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x):
        return F.pixel_shuffle(self.conv(x), 2)


class TwoInputs(Base):
    def forward(self, x, noise):
        return super().forward(x + noise)


class Several(Base):
    def forward(self, x):
        return [super().forward(x), x]


class OnGpu(Base):
    def forward(self, x):
        return super().forward(x.cuda())


class MadeOnGpu(Base):
    def __init__(self):
        super().__init__()
        self.to("cuda")


class Viewing(Base):
    def __init__(self):
        super().__init__()
        self.mix = nn.utils.weight_norm(nn.Conv2d(3, 3, 3, padding=1))

    def forward(self, x):
        mixed = self.mix(x)
        return super().forward(mixed.view(len(x), -1).view(mixed.shape))


class NeedsMultiples(Base):
    def forward(self, x):
        return super().forward(F.pixel_shuffle(F.pixel_unshuffle(x, 4), 4))


class KeepsComputed(Base):
    def __init__(self):
        super().__init__()
        self.norm = self.conv.weight.square().sum()


class Exits(Base):
    def __init__(self):
        raise SystemExit("no")


class Nothing(nn.Module):
    def forward(self, x):
        return F.interpolate(x, scale_factor=2)


class Luma(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)

    def forward(self, y):
        return F.pixel_shuffle(self.conv(y), 2)


def make(scale):
    return Base()


NUMBER = 3
'''


def write(folder: Path, name: str, text: str) -> Path:
    """A file of code."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


@contextmanager
def forgotten_modules() -> Iterator[None]:
    """Forget afterwards what was imported, and from where: in the program this happens in a process of its own."""
    modules, path = set(sys.modules), list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(tempfile.gettempdir()):
                del sys.modules[name]


def saved_weights(network: nn.Module, path: Path) -> Path:
    """Seeded weights of a network, which make small but not vanishing changes."""
    generator = torch.Generator().manual_seed(0)
    state = {key: torch.rand(value.shape, generator=generator) * 0.2 if value.is_floating_point() else value
             for key, value in network.state_dict().items()}
    torch.save({"params": state}, path)
    return path
