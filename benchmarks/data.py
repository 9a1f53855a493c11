"""Packed batches against torchvision's ImageFolder and DataLoader.

    python benchmarks/data.py

Both give shuffled batches of 64 Fashion-MNIST images, 32x32 grey, as float tensors in [-1, 1]: ours gathered from the
packed store, theirs decoded from PNG files of the same pixels, with 0 and with 2 workers, whichever is faster. Each is
timed over whole epochs after a first one that warms the page cache and starts the workers; the best epoch counts.
Fails below a ratio of 20.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from gansmith.core.config import DataConfig
from gansmith.data import Split, open_data

BATCH = 64
EPOCHS = 3
RATIO = 20.0


def main() -> None:
    split = open_data(DataConfig(source="builtin:fashion")).train
    rates = {"packed store": best_rate(lambda: packed_batches(split), len(split))}
    with tempfile.TemporaryDirectory() as folder:
        write_pngs(split, Path(folder))
        for workers in (0, 2):
            loader = png_loader(Path(folder), workers)
            rates[f"ImageFolder, {workers} workers"] = best_rate(lambda loader=loader: loader, len(split))
    for name, rate in rates.items():
        print(f"{name:24}{rate:12,.0f} images/s")
    ours, *theirs = rates.values()
    print(f"{'ratio':24}{ours / max(theirs):12.1f} (at least {RATIO:g} wanted)")
    if ours / max(theirs) < RATIO:
        raise SystemExit(1)


def packed_batches(split: Split) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    order = np.random.default_rng(0).permutation(len(split))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        images = torch.from_numpy(split.images[rows]).permute(0, 3, 1, 2)
        yield images.float().div_(127.5).sub_(1), torch.from_numpy(split.labels[rows])


def png_loader(folder: Path, workers: int) -> DataLoader:
    steps = [transforms.Grayscale(), transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
    dataset = ImageFolder(str(folder), transforms.Compose(steps))
    return DataLoader(dataset, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def write_pngs(split: Split, folder: Path) -> None:
    for i, (pixels, label) in enumerate(zip(split.images, split.labels, strict=True)):
        path = folder / str(label) / f"{i:05}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels[..., 0]).save(path)


def best_rate(epoch: Callable[[], Iterable[tuple[torch.Tensor, torch.Tensor]]], images: int) -> float:
    """Images a second in the best of a few epochs."""
    times = []
    for _ in range(1 + EPOCHS):
        start = time.perf_counter()
        seen = sum(len(batch) for batch, _ in epoch())
        times.append(time.perf_counter() - start)
        assert seen == images
    return images / min(times[1:])


if __name__ == "__main__":
    main()
