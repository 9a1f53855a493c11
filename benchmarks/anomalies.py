"""Images unlike the rest, found by four methods, and by three that learn nothing adversarial; `docs/anomalies.md` is
made of it.

    python benchmarks/anomalies.py                            # all that has not been measured yet: about 2 hours
    python benchmarks/anomalies.py --only garments --seeds 1
    python benchmarks/anomalies.py --minutes 0.1              # a trial of everything
    python benchmarks/anomalies.py --table-only               # the page of what there is

    garments  Fashion-MNIST whole: one class is normal (its 6,000 training images, a fifth of them held out), and the
              10,000 test images are scored; every class, several seeds, every method
    textile   simulated cloth (package `conformal-clip-data`), cut into tiles: 900 normal pieces to learn from; local
              and global faults apart

What is given is the area under the ROC curve, of both scores (``--by nearest`` and ``--by paper``) of one fit, and the
share of normal test images above the threshold that was set for 5 %. Beside them, what asks for no training at all:

    mean      squared distance of pixels from the mean normal image
    pca       squared distance of pixels from the space of the first 32 principal components
    nearest   mean distance to the 5 nearest normal images in the features of `efflite0`; of garments, of 100 normal
              images a class, and 1,000 test images: a CPU takes long for them

AnoGAN's own score needs a search for each image, and is taken of 500 test images, evenly chosen.

It can be stopped at any time, and goes on where it was.
"""

from __future__ import annotations

import json
import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from common import Bench, Part, bench_parser, markdown, play_parts, say, when
from fashion_cnn import split
from gansmith.apps import detect
from gansmith.apps.run import Run
from gansmith.core.paths import write_json
from gansmith.data import open_data
from gansmith.data.geometry import load_like
from gansmith.data.split import evenly
from gansmith.metrics import auroc, extractor
from gansmith.training.pictures import side_by_side
from sources import built_set

NAME = "anomalies"
Record = dict[str, Any]
KIMG = 20.0
"""Length of a training, in thousands of images."""
SEARCHED = 500
FEW = {"anogan": 1}
"""Seeds of a method that takes long."""
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
COMPONENTS, NEIGHBOURS = 32, 5
BASELINES = ("mean", "pca", "nearest")
TITLES = {
    "mean": "pixels to the mean image",
    "pca": f"pixels to {COMPONENTS} principal components",
    "nearest": "nearest neighbours, `efflite0`",
}


# ---- what learns nothing adversarial


def by_mean(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Mean squared distance (N,) of pixels from the mean of known images."""
    return np.square(flat(asked) - flat(known).mean(0)).mean(1)


def by_pca(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Mean squared distance (N,) of pixels from the space of the known images' first principal components."""
    rows = torch.from_numpy(flat(known))
    centre = rows.mean(0)
    _, _, ways = torch.pca_lowrank(rows - centre, COMPONENTS, center=False, niter=4)
    apart = torch.from_numpy(flat(asked)) - centre
    return (apart - apart @ ways @ ways.T).square().mean(1).numpy()


def by_nearest(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Mean distance (N,) of features from the nearest known ones."""
    pairs = torch.from_numpy(asked).split(500)
    near = [torch.cdist(part, torch.from_numpy(known)).topk(NEIGHBOURS, largest=False).values.mean(1) for part in pairs]
    return torch.cat(near).numpy()


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / 255


# ---- garments


@cache
def garments() -> dict[str, Tensor]:
    known, asked = split("train"), split("t10k")
    return {"known": known[0], "classes": known[1], "asked": asked[0], "kinds": asked[1]}


def as_seen(run: Run, images: Tensor) -> np.ndarray:
    """uint8 (N, 28, 28) as the run's networks see them: (N, R, R, 1)."""
    return np.stack([load_like(image, run.spec, run.config.data.fit) for image in images.numpy()[..., None]])


def fitted(bench: Bench, method: str, kind: int, seed: int) -> Record:
    """What a method finds where a class is normal; measured once."""
    file = bench.work / f"garments-{method}-{kind}-{seed}.json"
    if file.exists():
        return dict(json.loads(file.read_text()))
    data = garments()
    source, run_dir = bench.work / f"class-{kind}.npy", bench.work / f"run-{method}-{kind}-{seed}"
    bench.work.mkdir(parents=True, exist_ok=True)
    if not source.exists():
        np.save(source, data["known"][data["classes"] == kind].numpy())
    began, spent = time.monotonic(), cpu()
    kimg = KIMG if bench.trial is None else 10 * bench.trial
    found = detect.fit(str(source), run_dir, method, kimg=kimg, seed=seed, quiet=True)
    fit_seconds = time.monotonic() - began
    asked, odd = as_seen(found.run, data["asked"]), data["kinds"].numpy() != kind
    scores = found.scores(asked)
    # A method is done when it has fitted and scored; what it would say by another score is ours to compare.
    seconds, cpu_seconds = time.monotonic() - began, cpu() - spent
    near = detect.scored(found.run, found.normal, "nearest", asked).numpy()
    chosen = evenly(len(asked), SEARCHED if method == "anogan" else len(asked))
    paper = detect.scored(found.run, found.normal, "paper", asked[chosen]).numpy()
    record = {
        "nearest": auroc(near, odd),
        "paper": auroc(paper, odd[chosen]),
        "by": found.by,
        "alarms": float((scores[~odd] > found.threshold.value).mean()),
        "fit_seconds": round(fit_seconds, 1),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
    }
    if (method, kind, seed) == ("aae", CLASSES.index("shirt"), 0):
        picture_garments(bench, found, asked, odd, near)
    shutil.rmtree(run_dir)
    write_json(file, record)
    say(f"  {method}, {CLASSES[kind]}, seed {seed}: {record}")
    return record


def picture_garments(
    bench: Bench, found: detect.Detection, asked: np.ndarray, odd: np.ndarray, near: np.ndarray
) -> None:
    """The normal images, and the others, that are most and least unlike."""
    order = np.argsort(near, kind="stable")
    chosen = [*order[~odd[order]][-4:], *order[odd[order]][:4], *order[odd[order]][-4:]]
    made, heat = found.heat(asked[chosen])
    rows, columns = found.run.spec.window
    images = asked[chosen][:, rows, columns]
    hot = np.stack([detect.reddened(*pair) for pair in zip(images, heat, strict=True)])
    bench.pictures.mkdir(parents=True, exist_ok=True)
    side_by_side([images, made, hot], 4).save(bench.pictures / "garments.png")


def cpu() -> float:
    """Seconds that this process has spent on all cores."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def garment_baselines(bench: Bench) -> dict[str, list[float]]:
    """By what, an area for each class; measured once."""
    file = bench.work / "garments-baselines.json"
    if file.exists():
        return dict(json.loads(file.read_text()))
    data, net = garments(), extractor("efflite0")
    asked, kinds = data["asked"], data["kinds"].numpy()
    say("  features of efflite0, once")
    some = evenly(len(asked), 1000)
    features, found = net(asked.numpy()[some][..., None]), {name: [] for name in BASELINES}  # type: ignore[var-annotated]
    for kind in range(10):
        known = data["known"][data["classes"] == kind].numpy()
        few = known[evenly(len(known), 100)]
        odd = kinds != kind
        scores = {
            "mean": by_mean(known, asked.numpy()),
            "pca": by_pca(known, asked.numpy()),
            "nearest": by_nearest(net(few[..., None]), features),
        }
        for name, values in scores.items():
            found[name].append(auroc(values, odd[some] if len(values) == len(some) else odd))
        say(f"  {CLASSES[kind]}: { ({name: round(values[-1], 3) for name, values in found.items()}) }")
    write_json(file, found)
    return found


def measure_garments(bench: Bench) -> Record:
    seeds = {method: range(FEW.get(method, bench.asked.seeds)) for method in bench.asked.methods.split(",")}
    found = {
        method: [[fitted(bench, method, kind, seed) for seed in each] for kind in range(10)]
        for method, each in seeds.items()
    }
    return {"methods": found, "baselines": garment_baselines(bench), "seeds": bench.asked.seeds}


def garments_section(bench: Bench, record: Record) -> str:
    """A row for each method and score, a column for each class."""
    rows, means = [], {}
    for method, classes in record["methods"].items():
        for by in ("nearest", "paper"):
            areas = np.array([[one[by] for one in seeds] for seeds in classes])
            means[method, by] = areas.mean()
            spread = f" ± {areas.mean(0).std(ddof=1):.3f}" if areas.shape[1] > 1 else ""
            usual = " (default)" * (by == classes[0][-1]["by"])
            rows.append(
                [f"`{method}`", by + usual, *(f"{v:.3f}" for v in areas.mean(1)), f"**{areas.mean():.3f}**{spread}"]
            )
    for name, areas in record["baselines"].items():
        means[name] = np.mean(areas)
        rows.append([TITLES[name], "", *(f"{v:.3f}" for v in areas), f"**{np.mean(areas):.3f}**"])
    ours = {key: value for key, value in means.items() if isinstance(key, tuple)}
    lines = [
        beaten(method, by, value, {name: means[name] for name in BASELINES}) for (method, by), value in ours.items()
    ]
    alarms = {m: np.mean([one["alarms"] for seeds in c for one in seeds]) for m, c in record["methods"].items()}
    cost = {m: np.mean([one["cpu_seconds"] for seeds in c for one in seeds]) for m, c in record["methods"].items()}
    table = markdown(["method", "score", *CLASSES, "mean"], rows)
    return f"""## Garments

`gansmith detect fit CLASS.npy --method METHOD --kimg {KIMG:g}`: each class of Fashion-MNIST in turn is the normal one,
and all 10,000 test images are scored; seeds: {record["seeds"]}, of AnoGAN {FEW["anogan"]}. Areas under the ROC curve,
and the standard deviation of their mean over seeds. {when([record])}.

{table}

{chr(10).join(lines)}

Of normal test images, of which 5 % may be called anomalous: {in_words(alarms, "{:.1%}")}. CPU seconds to fit and
to score the 10,000: {in_words(cost, "{:.0f}")}. AnoGAN's own score is of {SEARCHED} test images.

{bench.link("garments.png")}
Shirts are normal here, the hardest class: the four most unlike shirts, then of other garments the four that pass best
and the four that are most unlike. Each, what the run makes of it, and where they differ.
"""


def in_words(values: Mapping[str, float], form: str) -> str:
    return ", ".join(f"{form.format(value)} by {name}" for name, value in values.items())


def beaten(method: str, by: str, value: float, baselines: Mapping[str, float]) -> str:
    """Which trivial baselines a method beats."""
    wins = [TITLES[name] for name, other in baselines.items() if value > other]
    loses = [TITLES[name] for name, other in baselines.items() if value <= other]
    said = [f"beats {', '.join(wins)}"] * bool(wins) + [f"**loses to {', '.join(loses)}**"] * bool(loses)
    return f"- `{method}` by {by}, {value:.3f}, {' and '.join(said)}."


# ---- textile

SIDE = 32
TESTED = 250
"""Pieces of each kind, at most."""
WHOLE = {"worst": np.max, "mean": np.mean}
"""What an image's score is, by those of its tiles."""


def measure_textile(bench: Bench) -> Record:
    (folder,) = built_set("textile")
    settings = {"data.fit": "tiles", "data.resolution": SIDE, "data.channels": 1}
    found: Record = {}
    for method in ("aae", "f-anogan", "ganomaly"):
        run_dir = bench.work / f"textile-{method}"
        kimg = KIMG if bench.trial is None else 10 * bench.trial
        began = cpu()
        fit = detect.fit(str(folder / "train"), run_dir, method, kimg=kimg, settings=settings, quiet=True)
        pieces = {kind: loaded(fit, folder / "test" / kind) for kind in ("good", "local", "global")}
        scores = {
            by: {kind: detect.scored(fit.run, fit.normal, by, part).numpy() for kind, part in pieces.items()}
            for by in ("nearest", "paper")
        }
        heat = {kind: fit.heat(part)[1].max((1, 2)) for kind, part in pieces.items()}
        found[method] = {by: areas(of) for by, of in (scores | {"hottest": heat}).items()}
        found[method]["cpu_seconds"] = round(cpu() - began, 1)
        say(f"  {method}: {found[method]}")
        if method == "aae":
            picture_textile(bench, fit, folder)
    known = open_data(fit.run.config.data).train.images[:]
    for name, function in (("mean", by_mean), ("pca", by_pca)):
        found[name] = areas({kind: function(known, part) for kind, part in pieces.items()})
    net = extractor("efflite0")
    images = {kind: whole(folder / "test" / kind, TESTED) for kind in ("good", "local", "global")}
    few = net(whole(folder / "train" / "good", 300))
    found["nearest"] = areas({kind: by_nearest(few, net(part)) for kind, part in images.items()}, 1)
    return {"found": found}


def files_of(folder: Path, most: int) -> list[Path]:
    files = detect.inputs(str(folder))
    return [files[i] for i in evenly(len(files), most)]


def whole(folder: Path, most: int) -> np.ndarray:
    """uint8 (N, H, W, 1)."""
    return np.stack([np.asarray(Image.open(file).convert("L"))[..., None] for file in files_of(folder, most)])


def loaded(fit: detect.Detection, folder: Path) -> np.ndarray:
    """The tiles of a folder's pieces, uint8 (N, R, R, 1), as the run sees them."""
    return detect.squares_of([detect.Seen.of(fit.run, file) for file in files_of(folder, TESTED)])


TILES = (250 // SIDE) ** 2


def areas(of: Mapping[str, np.ndarray], tiles: int = TILES) -> dict[str, dict[str, float]]:
    """Areas by what an image's score is, and by kind of fault; of the scores of tiles."""

    def area(good: np.ndarray, odd: np.ndarray) -> float:
        return auroc(np.concatenate([good, odd]), np.repeat([False, True], [len(good), len(odd)]))

    scores = {
        name: {kind: joined(values.reshape(-1, tiles), axis=1) for kind, values in of.items()}
        for name, joined in WHOLE.items()
    }
    return {name: {kind: area(of["good"], of[kind]) for kind in ("local", "global")} for name, of in scores.items()}


def picture_textile(bench: Bench, fit: detect.Detection, folder: Path) -> None:
    """Of a piece with a local and one with a global fault: the piece, what the run makes of it, where they differ."""
    pieces = [detect.Seen.of(fit.run, files_of(folder / "test" / kind, 3)[1]) for kind in ("local", "global")]
    shown, made, hot = [], [], []
    for seen in pieces:
        again, heat = map(seen.whole, fit.heat(seen.squares))
        shown.append(seen.whole(seen.squares))
        made.append(again)
        hot.append(detect.reddened(shown[-1], heat))
    bench.pictures.mkdir(parents=True, exist_ok=True)
    side_by_side([np.stack(part) for part in (shown, made, hot)], 1).save(bench.pictures / "textile.png")


def textile_section(bench: Bench, record: Record) -> str:
    found, rows = record["found"], []

    def row(name: str, by: str, of: Mapping[str, Mapping[str, float]], wholes: Sequence[str]) -> list[str]:
        return [name, by, *(f"{of[w][kind]:.3f}" if w in wholes else "" for w in WHOLE for kind in ("local", "global"))]

    for name, of in found.items():
        if name in BASELINES:
            rows.append(row(TITLES[name], "", of, ("worst",) if name == "nearest" else tuple(WHOLE)))
        else:
            rows += [row(f"`{name}`", by, one, tuple(WHOLE)) for by, one in of.items() if by != "cpu_seconds"]
    table = markdown(["method", "score", "worst tile: local", "global", "mean of tiles: local", "global"], rows)
    cost = {name: of["cpu_seconds"] for name, of in found.items() if name not in BASELINES}
    return f"""## Cloth

`gansmith detect fit textile/train --method METHOD --kimg {KIMG:g} --set data.fit=tiles --set data.resolution={SIDE}
--set data.channels=1`: simulated cloth of 250x250 pixels, in {TILES} tiles; 100 normal test pieces against {TESTED}
with local and {TESTED} with global faults; areas under the ROC curve, where a piece's score is that of its worst tile,
which is what `detect` says, or the mean of all. `hottest` is the hottest place of the heat map; {TITLES["nearest"]},
are of whole pieces. CPU seconds to fit and to score: {in_words(cost, "{:.0f}")}. {when([record])}.

{table}
{bench.link("textile.png")}
A piece with a local and one with a global fault; each, what the run makes of it, and where they differ.
"""


# ---- the page


PARTS: dict[str, Part] = {
    "garments": Part((75.0,), measure_garments, garments_section),
    "textile": Part((15.0,), measure_textile, textile_section),
}


def page(sections: list[str]) -> str:
    body = "\n".join(sections)
    return f"""# Images unlike the rest

What `gansmith detect` finds, by `python benchmarks/anomalies.py`.

{body}
## What the figures say

<!-- by hand: discussion -->

Not written yet.

<!-- end -->
"""


def main() -> None:
    parser = bench_parser(NAME, __doc__, PARTS)
    parser.add_argument("--seeds", type=int, default=3, help="of each class and method")
    parser.add_argument("--methods", default=",".join(detect.METHODS), help="by commas")
    play_parts(NAME, parser, PARTS, page)


if __name__ == "__main__":
    main()
