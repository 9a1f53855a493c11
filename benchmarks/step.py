"""Images/s of our training step, of a plain one, and of what the arithmetic alone would allow.

    python benchmarks/step.py [--seconds 20]

At two sizes: that of Radford 2016 (64 channels, batch 128), where arithmetic is what takes the time, and our default,
which is so small that the fixed cost of each call does. One process, all steps in turn, several rounds, medians.

- ours: `play_step` as `gansmith train dcgan` runs it (channels last, bf16 where that is faster, each player's gradients
  only, G's fakes shared, fused Adam).
- plain: the same networks in the loop that tutorials show: fp32, NCHW, both nets always require gradients.
- matmul-bound: the step's multiplications as plain fp32 matrix products, and as bf16 ones where these are faster.

Fails below 1.6 x plain at the paper's size where bf16 is faster than fp32: not on Intel cores that have AVX512-BF16
without AMX, where it takes twice as long.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.utils.flop_counter import FlopCounterMode

from gansmith.apps.configure import nested, resolve
from gansmith.core.clock import Plan
from gansmith.core.config import DataConfig
from gansmith.core.hardware import has_bf16
from gansmith.data import Dataset, open_data
from gansmith.recipes import build
from gansmith.recipes.pairs import PairConfig
from gansmith.training.runtime import Runtime
from gansmith.training.session import Session

RATIO = 1.6


SIZES: dict[str, dict[str, Any]] = {
    "the paper's: 64 channels, batch 128": {"train.batch": 128, "g_width": 64, "d_width": 64, "latent": 100},
    "our default": {},
}


def our_step(dataset: Dataset, config: PairConfig) -> Callable[[], None]:
    session = Session(config, dataset.spec, dataset.train, Runtime.of(config.train))
    plan = Plan.of(10**9, session.shares)
    return lambda: void(session.step(plan))


def plain_step(dataset: Dataset, config: PairConfig) -> Callable[[], None]:
    nets = build(config, dataset.spec).nets
    g, d, latent, batch = nets["G"], nets["D"], config.latent, config.train.batch
    optim_g, optim_d = (torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (g, d))
    pixels = torch.from_numpy(dataset.train.images.copy()).permute(0, 3, 1, 2).contiguous()
    ones, zeros = torch.ones(batch), torch.zeros(batch)

    def step() -> None:
        real = pixels[torch.randint(len(pixels), (batch,))].float() / 127.5 - 1
        optim_g.zero_grad()
        fake = g(torch.randn(batch, latent))
        bce(d(fake), ones).backward()
        optim_g.step()
        optim_d.zero_grad()
        (bce(d(real), ones) + bce(d(fake.detach()), zeros)).backward()
        optim_d.step()

    return step


def matmuls(flops: int, dtype: torch.dtype) -> Callable[[], None]:
    """As many multiplications in products of 512 x 512 matrices: a size at which the CPU is at its best."""
    a, b = torch.randn(512, 512).to(dtype), torch.randn(512, 512).to(dtype)
    return lambda: [void(a @ b) for _ in range(max(1, round(flops / (2 * 512**3))))] and None


def void(value: object) -> None:
    """Drops a value, so that all steps have one type."""


def rate(step: Callable[[], None], images: int, seconds: float) -> float:
    for _ in range(3):
        step()
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        step()
        steps += 1
    return steps * images / (time.perf_counter() - began)


def compare(dataset: Dataset, config: PairConfig, seconds: float, fast: bool) -> float:
    """Prints the rates at one size; gives ours / plain."""
    plain, batch = plain_step(dataset, config), config.train.batch
    counter = FlopCounterMode(display=False)
    with counter:
        plain()
    steps = {"ours": our_step(dataset, config), "plain": plain}
    for name in ("float32", "bfloat16") if fast else ("float32",):
        steps[f"matmul-bound, {name}"] = matmuls(counter.get_total_flops(), getattr(torch, name))
    rounds = 5
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            rates[name].append(rate(step, batch, seconds / rounds))
    for name, found in rates.items():
        print(f"  {name:24} {statistics.median(found):10,.0f} images/s")
    ratio = statistics.median(a / b for a, b in zip(rates["ours"], rates["plain"], strict=True))
    print(f"  {'ours / plain':24} {ratio:10.2f}")
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="for each step at each size, in all rounds together"
    )
    asked = parser.parse_args()
    torch.manual_seed(0)
    dataset = open_data(DataConfig(source="builtin:fashion"))
    fast = has_bf16(torch.device("cpu"))
    ratios = []
    for name, settings in SIZES.items():
        print(f"{name} ({torch.get_num_threads()} threads, bf16 {fast})")
        ratios.append(compare(dataset, resolve("dcgan", [("benchmark", nested(settings))]), asked.seconds, fast))
    if fast and ratios[0] < RATIO:
        raise SystemExit(f"below {RATIO} at the paper's size")


if __name__ == "__main__":
    main()
