"""Images/s of our training step, of a plain one, and of what the arithmetic alone would allow.

    python benchmarks/step.py [--batch 32] [--seconds 20]

One process, the three in turn, several rounds, medians: this machine's neighbours come and go.

- ours: `play_step` as `gansmith train dcgan` runs it (channels last, bf16 where the CPU has it, each player's gradients
  only, G's fakes shared, fused Adam).
- plain: the same networks in the loop that tutorials show: fp32, NCHW, both nets always require gradients.
- matmul-bound: the step's multiplications as plain fp32 matrix products, and as bf16 ones where the CPU has them.

Fails below 1.6 x plain where the CPU has bf16.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.utils.flop_counter import FlopCounterMode

from gansmith.apps.configure import nested, resolve
from gansmith.core.clock import Plan
from gansmith.core.config import DataConfig
from gansmith.data import Dataset, open_data
from gansmith.recipes import build
from gansmith.training.runtime import Runtime, has_bf16
from gansmith.training.session import Session

RATIO = 1.6


def our_step(dataset: Dataset, batch: int) -> Callable[[], None]:
    config = resolve("dcgan", [("benchmark", nested({"train.batch": batch}))])
    session = Session(config, dataset.spec, dataset.train, Runtime.of(config.train))
    plan = Plan.of(10**9, session.shares)
    return lambda: void(session.step(plan))


def plain_step(dataset: Dataset, batch: int) -> Callable[[], None]:
    config = resolve("dcgan", [])
    nets = build(config, dataset.spec).nets
    g, d, latent = nets["G"], nets["D"], config.latent
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each of the steps, in all rounds together")
    asked = parser.parse_args()
    torch.manual_seed(0)
    dataset = open_data(DataConfig(source="builtin:fashion"))
    plain = plain_step(dataset, asked.batch)
    counter = FlopCounterMode(display=False)
    with counter:
        plain()
    steps = {"ours": our_step(dataset, asked.batch), "plain fp32 NCHW": plain}
    steps["matmul-bound, fp32"] = matmuls(counter.get_total_flops(), torch.float32)
    fast = has_bf16(torch.device("cpu"))
    if fast:
        steps["matmul-bound, bf16"] = matmuls(counter.get_total_flops(), torch.bfloat16)
    rounds = 5
    rates = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            rates[name].append(rate(step, asked.batch, asked.seconds / rounds))
    for name, found in rates.items():
        print(f"{name:20} {statistics.median(found):10,.0f} images/s")
    ratio = statistics.median(a / b for a, b in zip(rates["ours"], rates["plain fp32 NCHW"], strict=True))
    print(
        f"ours / plain         {ratio:10.2f}    (batch {asked.batch}, {torch.get_num_threads()} threads, bf16 {fast})"
    )
    if fast and ratio < RATIO:
        raise SystemExit(f"below {RATIO}")


if __name__ == "__main__":
    main()
