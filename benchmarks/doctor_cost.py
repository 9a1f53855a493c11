"""What the doctor costs a run: a look, in steps of the same game, and its share of a run at default settings.

    python benchmarks/doctor_cost.py [--family dcgan] [--data builtin:fashion]

Steps and looks alternate in one process, five rounds; medians.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

from gansmith.apps.run import configured
from gansmith.core.clock import Plan
from gansmith.data import open_data
from gansmith.training.runtime import Runtime
from gansmith.training.session import Session
from gansmith.watch.live import Observatory

ROUNDS, STEPS, LOOKS = 5, 40, 4


def seconds(work: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="dcgan")
    parser.add_argument("--data", default="builtin:fashion")
    asked = parser.parse_args()
    config = configured(asked.family, asked.data)
    dataset = open_data(config.data)
    session = Session(config, dataset.spec, dataset.train, Runtime.of(config.train))
    plan, eyes = Plan.of(config.train.images, session.shares), Observatory(dataset)
    session.clock = plan.at(0, 0)
    seconds(lambda: session.step(plan), STEPS)
    eyes.look(session)
    steps, looks = [], []
    for _ in range(ROUNDS):
        steps.append(seconds(lambda: session.step(plan), STEPS))
        looks.append(seconds(lambda: eyes.look(session), LOOKS))
    ratio = median(look / step for look, step in zip(looks, steps, strict=True))
    count = config.train.images / config.train.batch
    print(f"a step {1000 * median(steps):.1f} ms, a look {1000 * median(looks):.1f} ms: as long as {ratio:.1f} steps")
    print(f"{config.train.looks} looks at a run of {count:.0f} steps: {config.train.looks * ratio / count:.2%} of them")


if __name__ == "__main__":
    main()
