"""Train the extractor `fashion-cnn` on the whole of Fashion-MNIST and store its weights in the package.

Data: Debian's package `dataset-fashion-mnist` (60,000 training and 10,000 test images, 28x28, MIT).
Command: ``PYTHONPATH=src python benchmarks/fashion_cnn.py``
Result: 92.84 % of the test images (float16 storage, float32 arithmetic), 483,556 bytes; 11 epochs of bf16 autocast in
359 s on 2 shared cores of an AMD EPYC with AVX512-BF16, torch 2.14.1. One run, seed 0; nothing was selected on the test
images.
"""

from __future__ import annotations

import argparse
import gzip
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gansmith.metrics.fashion_cnn import SIDE, FashionCnn, folded

DATA = Path("/usr/share/datasets/fashion-mnist")
WEIGHTS = Path(__file__).parents[1] / "src/gansmith/metrics/weights/fashion-cnn.safetensors"


def read_idx(path: Path) -> Tensor:
    """An IDX file of uint8, as the database's authors define it: a header of 4 bytes and one int32 a dimension."""
    raw = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape).copy())


def split(name: str) -> tuple[Tensor, Tensor]:
    """Images uint8 (N, 28, 28) and labels int64 (N,)."""
    return read_idx(DATA / f"{name}-images-idx3-ubyte.gz"), read_idx(DATA / f"{name}-labels-idx1-ubyte.gz").long()


def augmented(images: Tensor, rng: torch.Generator) -> Tensor:
    """Each image shifted by up to 2 pixels and mirrored half of the time: uint8 (N, 28, 28)."""
    n = len(images)
    padded = nn.functional.pad(images, (2, 2, 2, 2))
    steps = torch.arange(SIDE)
    rows = steps + torch.randint(0, 5, (n, 1), generator=rng)
    cols = steps + torch.randint(0, 5, (n, 1), generator=rng)
    mirrored = torch.rand(n, 1, generator=rng) < 0.5
    cols = torch.where(mirrored, cols.flip(1), cols)
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], cols[:, None, :]]


def as_input(images: Tensor) -> Tensor:
    return (images[:, None].float() / 255).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def accuracy(net: FashionCnn, images: Tensor, labels: Tensor) -> float:
    batches = zip(images.split(500), labels.split(500), strict=True)
    right = sum(int((net(as_input(x)).argmax(1) == y).sum()) for x, y in batches)
    return right / len(labels)


def train(epochs: int, batch: int, seed: int) -> FashionCnn:
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    images, labels = split("train")
    net = FashionCnn(norm=True).to(memory_format=torch.channels_last).train()
    optim = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.02)
    steps = len(images) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optim, 4e-3, total_steps=epochs * steps, pct_start=0.2)
    start = time.perf_counter()
    for epoch in range(epochs):
        for chosen in torch.randperm(len(images), generator=rng)[: steps * batch].split(batch):
            optim.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(as_input(augmented(images[chosen], rng)))
            loss = nn.functional.cross_entropy(logits.float(), labels[chosen])
            loss.backward()
            optim.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, {time.perf_counter() - start:.0f} s", flush=True)
    return net.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=11)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    start = time.perf_counter()
    halves = {
        k: v.half().contiguous() for k, v in folded(train(args.epochs, args.batch, args.seed)).state_dict().items()
    }
    seconds = time.perf_counter() - start
    stored = FashionCnn().eval()
    stored.load_state_dict({k: v.float() for k, v in halves.items()})
    score = accuracy(stored, *split("t10k"))
    metadata = {
        "test_accuracy": f"{score:.4f}",
        "data": "Fashion-MNIST, 60,000 training images",
        "seed": str(args.seed),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(halves, args.out, metadata)
    print(f"{score:.2%} of the 10,000 test images, stored as float16; {seconds:.0f} s of training; {args.out}")


if __name__ == "__main__":
    main()
