"""Emoji drawn from captions that were held out, and whether they can be told from one another by what they show;
`docs/text_to_image.md` is made of it.

    python benchmarks/text_to_image.py                    # all that has not been measured yet: half an hour a part
    python benchmarks/text_to_image.py --only words --redo
    python benchmarks/text_to_image.py --minutes 0.5      # a trial of everything, minutes
    python benchmarks/text_to_image.py --table-only       # the page of what there is

    words   ``gansmith train stackgan --data captioned --set captions=words``, 18 minutes: 36 CPU minutes on two cores
    minilm  the same with captions read by MiniLM; where its package is installed (extra `text`)

The data are Twitter's emoji with captions, of `sources.py`, which fetches what is missing.

Does an image show what was said? R-precision (Xu 2018, AttnGAN, sec. 4.1; there of 100 captions): a matcher of
images and texts, which was trained by itself, is asked which of 30 held-out captions an image was drawn for, the true
one and 29 others. Its answer is right by chance once in 30 times. What is given is the exact expectation over all
choices of the 29. Beside it, how often the matcher is right about real held-out drawings, and how often an image drawn
for one caption is taken for that of another (shuffled).

The matcher is a perceptron on EfficientNet-Lite0's features of a drawing, and a bag of the caption's words, trained to
find each other (InfoNCE, Radford 2021) on the training drawings of both styles, each in several copies that are
shifted, scaled, coloured otherwise, blurred and noisy. It has seen no drawing and no caption of those held out, nor
anything that was generated.

Both stages of the run are measured by Fréchet and kernel distance, too: Stage-I images enlarged by a bicubic filter.

It can be stopped at any time and goes on where it was: what has been measured is in ``results/text_to_image.json``, and
a run that was stopped goes on in its run directory.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

import gansmith
from common import Bench, Part, bench_parser, estimate, markdown, of_run, play_parts, ran, say, told, train, when
from gansmith.apps.files import draw_images
from gansmith.core.words import words_of
from gansmith.metrics import Score, evaluate, extractor
from gansmith.recipes.texts import has_minilm
from sources import built_set

NAME = "text_to_image"
Record = dict[str, Any]
MINUTES = 18
CANDIDATES = 30
DRAWN = 8
"""Images of each held-out caption."""
SHOWN, SIDE = 12, 64


# ---- images with captions


@dataclass(frozen=True)
class Captioned:
    """Drawings uint8 (N, 64, 64, 3) and their captions."""

    images: np.ndarray
    captions: list[str]

    @classmethod
    def of(cls, folder: Path) -> Captioned:
        with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        images = np.stack([np.asarray(Image.open(folder / row["file_name"])) for row in rows])
        return cls(images, [row["text"] for row in rows])


# ---- the matcher

COPIES = 6
"""Of each training drawing, beside it."""
STEPS, BATCH, WIDTH = 1500, 256, 128
WORDS_DROPPED = 0.3
"""Share of a caption's words that are left out in training, lest one word be all that it is known by."""


class Matcher(nn.Module):
    """Images, as features (N, 1280), and captions, as words, to vectors (N, 128) of length 1 that agree.

    Args:
        words: those known.
    """

    def __init__(self, words: Sequence[str]):
        super().__init__()
        self.number = {word: i for i, word in enumerate(words)}
        self.image = nn.Sequential(
            nn.LayerNorm(1280), nn.Dropout(0.3), nn.Linear(1280, 512), nn.GELU(), nn.Dropout(0.3), nn.Linear(512, WIDTH)
        )
        self.word = nn.Embedding(len(words), WIDTH)
        self.text = nn.Linear(WIDTH, WIDTH)
        self.sharpness = nn.Parameter(torch.tensor(2.5))

    def of_images(self, features: Tensor) -> Tensor:
        return F.normalize(self.image(features), dim=1)

    def of_captions(self, captions: Sequence[str]) -> Tensor:
        return F.normalize(self.text(torch.stack([self.bag(caption) for caption in captions])), dim=1)

    def bag(self, caption: str) -> Tensor:
        """The mean of the words known (128,); 0 where there is none."""
        known = torch.tensor(
            [self.number[word] for word in words_of(caption) if word in self.number], dtype=torch.int64
        )
        if self.training:
            kept = known[torch.rand(len(known)) >= WORDS_DROPPED]
            known = kept if len(kept) else known
        return self.word(known).mean(0) if len(known) else torch.zeros(WIDTH)


def matcher_for(bench: Bench, train_on: Captioned) -> Matcher:
    """The matcher, trained, or as it was trained before."""
    words = sorted({word for caption in train_on.captions for word in words_of(caption)})
    matcher, file = Matcher(words), bench.work / "matcher.safetensors"
    if file.exists():
        matcher.load_state_dict(load_file(file))
    else:
        copies = COPIES if bench.trial is None else 1
        say(f"  training the matcher on {len(train_on.images):,} drawings, {copies + 1} of each")
        taught(matcher, train_on, copies)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(matcher.state_dict(), file)
    return matcher.eval()


def taught(matcher: Matcher, data: Captioned, copies: int) -> None:
    """Trains the matcher: of a batch, to find each image's caption and each caption's image."""
    net, rng = extractor("efflite0"), np.random.default_rng(0)
    torch.manual_seed(0)
    every = [data.images, *(np.stack([altered(image, rng) for image in data.images]) for _ in range(copies))]
    features = torch.from_numpy(np.stack([net(images) for images in every]))
    captions = list(dict.fromkeys(data.captions))
    drawings = [np.flatnonzero([c == caption for c in data.captions]) for caption in captions]
    optim = torch.optim.AdamW(matcher.parameters(), 1e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optim, STEPS)
    matcher.train()
    for _ in range(STEPS):
        chosen = rng.choice(len(captions), min(BATCH, len(captions)), replace=False)
        rows = [rng.choice(drawings[i]) for i in chosen]
        seen = features[rng.integers(len(every), size=len(rows)), rows]
        images, texts = matcher.of_images(seen), matcher.of_captions([captions[i] for i in chosen])
        logits = matcher.sharpness.exp() * images @ texts.T
        right = torch.arange(len(rows))
        loss = F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)
        optim.zero_grad()
        loss.backward()
        optim.step()
        schedule.step()


def altered(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A drawing shifted, scaled, coloured otherwise, blurred and noisy, as a generator's might be."""
    picture = Image.fromarray(image)
    scale, (dx, dy) = rng.uniform(0.8, 1.15), rng.uniform(-6, 6, 2)
    edge = SIDE / 2 * (1 - 1 / scale)
    place = (1 / scale, 0, edge + dx, 0, 1 / scale, edge + dy)
    picture = picture.transform(
        (SIDE, SIDE), Image.Transform.AFFINE, place, Image.Resampling.BICUBIC, fillcolor="white"
    )
    side = int(rng.integers(16, SIDE + 1))
    picture = picture.resize((side, side), Image.Resampling.BOX).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    pixels = np.asarray(picture, np.float32)
    grey = pixels.mean(2, keepdims=True)
    pixels = grey + (pixels - grey) * rng.uniform(0.6, 1.3)
    pixels = (pixels - 128) * rng.uniform(0.8, 1.15) + 128 + rng.uniform(-15, 15, 3)
    pixels = pixels + rng.normal(0, rng.uniform(0, 12), pixels.shape)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Retrieval:
    """How often captions are found by images.

    Attributes:
        right: of every image (N,), the expectation that its own caption comes first among 30.
        shuffled: the same of another's caption, the mean over all others.
    """

    right: np.ndarray
    shuffled: np.ndarray


@torch.inference_mode()
def retrieval(matcher: Matcher, images: np.ndarray, own: np.ndarray, captions: Sequence[str]) -> Retrieval:
    """Images uint8 (N, 64, 64, 3) among captions; `own` are the numbers (N,) of those that they were made for."""
    features = torch.from_numpy(extractor("efflite0")(images))
    scores = (matcher.of_images(features) @ matcher.of_captions(captions).T).numpy()
    first = first_among(scores)
    right = first[np.arange(len(own)), own]
    return Retrieval(right, (first.sum(1) - right) / (len(captions) - 1))


def first_among(scores: np.ndarray, candidates: int = CANDIDATES) -> np.ndarray:
    """The probability that a caption's score is the highest among so many, the others being drawn without replacement:
    (N, M) of scores (N, M). What scores as high counts as higher."""
    others = scores.shape[1] - 1
    every = comb(others, candidates - 1)
    chance = np.array([comb(others - above, candidates - 1) / every for above in range(others + 1)])
    rising = np.sort(scores, 1)
    at_least = scores.shape[1] - np.stack([np.searchsorted(r, s) for r, s in zip(rising, scores, strict=True)])
    return chance[at_least - 1]


# ---- measuring


def measure(captions: str, bench: Bench) -> Record:
    single, both = built_set("captioned")
    known, unseen = Captioned.of(single / "train"), Captioned.of(single / "test")
    length = f"{bench.minutes(MINUTES):g}"
    more = ("--minutes", length, "--set", f"captions={captions}")
    result = train("stackgan", bench.work / f"{captions}-run", *more, data=str(single))
    run = gansmith.load(bench.work / f"{captions}-run")
    matcher = matcher_for(bench, Captioned.of(both / "train"))
    say("  drawing")
    drawn = {"Stage-II": drawings(run, unseen.captions)}
    with first_stage(run):
        drawn["Stage-I"] = enlarged(drawings(run, unseen.captions), run)
    record: Record = {
        "ours": of_run(result, " ".join(["gansmith train stackgan --data captioned", *more])),
        "captions": len(unseen.captions),
        "images": DRAWN * len(unseen.captions),
        "trained_on": len(known.images),
        "matching": {
            "real held-out drawings": found(matcher, unseen.images, unseen.captions, 1),
            **{name: found(matcher, images, unseen.captions, DRAWN) for name, images in drawn.items()},
        },
        "chance": round(1 / CANDIDATES, 4),
        "unknown_words": unknown(known.captions, unseen.captions),
        "distances": distances(run, known, unseen),
    }
    save_drawn(bench, captions, unseen, drawn)
    return record | {"claims": claims(record)}


def drawings(run: Any, captions: Sequence[str], count: int = DRAWN) -> np.ndarray:
    """`count` images of each caption, one caption after another, each with noise of its own."""
    return np.concatenate([draw_images(run, text, count, seed=i) for i, text in enumerate(captions)])


@contextmanager
def first_stage(run: Any) -> Iterator[None]:
    """Inside, the run draws as at the end of its first stage."""
    clock = run.player.clock
    run.player.clock = replace(clock, stage=0)
    try:
        yield
    finally:
        run.player.clock = clock


def enlarged(images: np.ndarray, run: Any) -> np.ndarray:
    """Stage-I images, which come with their pixels repeated, enlarged by a bicubic filter."""
    factor = SIDE // run.config.side(run.spec.resolution)
    small = (Image.fromarray(image[::factor, ::factor]) for image in images)
    return np.stack([np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for image in small])


def found(matcher: Matcher, images: np.ndarray, captions: Sequence[str], each: int) -> Record:
    """How often captions are found, with intervals over captions; the images are `each` of every caption."""
    result = retrieval(matcher, images, np.repeat(np.arange(len(captions)), each), captions)
    right, shuffled = (x.reshape(-1, each).mean(1) for x in (result.right, result.shuffled))
    return {"right": estimate(right), "shuffled": estimate(shuffled), "difference": estimate(right - shuffled)}


def unknown(known: Sequence[str], captions: Sequence[str]) -> Record:
    """How many captions have a word that training has not, and how many have no other."""
    words = {word for caption in known for word in words_of(caption)}
    missing = [[word not in words for word in words_of(caption)] for caption in captions]
    return {"some": sum(map(any, missing)), "all": sum(map(all, missing))}


def distances(run: Any, known: Captioned, unseen: Captioned) -> Record:
    """Of both stages, an image of every caption, to the training drawings."""
    net, captions = extractor("efflite0"), [*known.captions, *unseen.captions]
    with first_stage(run):
        one = enlarged(drawings(run, captions, 1), run)
    stages = {"Stage-I": one, "Stage-II": drawings(run, captions, 1)}
    scored = {
        name: evaluate(images, known.images, unseen.images, net, metrics=METRICS, key="captioned")
        for name, images in stages.items()
    }
    return {name: {metric: told_of(scores[metric]) for metric in METRICS} for name, scores in scored.items()}


def told_of(score: Score) -> Record:
    named = {"mean": score.value, "low": score.low, "high": score.high, "floor": score.floor, "trivial": score.trivial}
    return {name: None if value is None else round(value, 5) for name, value in named.items()}


def claims(record: Record) -> dict[str, bool]:
    match, far = record["matching"]["Stage-II"], record["distances"]
    chance = record["chance"]
    return {
        f"R-precision at least 3 x chance: {match['right']['mean']:.3f} of {3 * chance:.3f}": match["right"]["mean"]
        >= 3 * chance,
        "well above shuffled captions: the interval of the difference": match["difference"]["low"] > 0,
        **{
            f"Stage-II nearer than Stage-I, {m}": far["Stage-II"][m]["high"] < far["Stage-I"][m]["low"] for m in METRICS
        },
    }


METRICS = {"frechet": "Fréchet", "kernel": "kernel"}


def save_drawn(bench: Bench, captions: str, unseen: Captioned, drawn: dict[str, np.ndarray]) -> None:
    """Evenly chosen held-out captions, with the true drawing, two of Stage-I and six of Stage-II."""
    left, gap = 330, 2
    chosen = np.arange(SHOWN) * len(unseen.captions) // SHOWN
    sheet = Image.new("RGB", (left + 9 * (SIDE + gap) + 16, SHOWN * (SIDE + gap)), "white")
    for row, i in enumerate(chosen):
        top = row * (SIDE + gap)
        ImageDraw.Draw(sheet).multiline_text((2, top + 8), wrapped(unseen.captions[i], 50), fill="black")
        mine = {name: images[i * DRAWN : (i + 1) * DRAWN] for name, images in drawn.items()}
        for column, image in enumerate([unseen.images[i], *mine["Stage-I"][:2], *mine["Stage-II"][:6]]):
            beside = left + column * (SIDE + gap) + 8 * ((column > 0) + (column > 2))
            sheet.paste(Image.fromarray(image), (beside, top))
    bench.pictures.mkdir(parents=True, exist_ok=True)
    sheet.save(bench.pictures / f"{captions}.webp", quality=90)


def wrapped(text: str, width: int) -> str:
    from textwrap import fill

    return fill(text.encode("ascii", "replace").decode(), width)


# ---- the page


def section(captions: str, bench: Bench, record: Record) -> str:
    lost = record["unknown_words"]
    rows = [
        [name, *(told(of[key]) for key in ("right", "shuffled", "difference"))]
        for name, of in record["matching"].items()
    ]
    far = [
        [name, *(told(of[metric], 2 if metric == "frechet" else 4) for metric in METRICS)]
        for name, of in record["distances"].items()
    ]
    floors = next(iter(record["distances"].values()))
    far += [
        [who, *(f"{floors[metric][key]:.{2 if metric == 'frechet' else 4}f}" for metric in METRICS)]
        for who, key in (("held-out drawings", "floor"), ("trivial generator", "trivial"))
    ]
    return (
        f"## Captions read by {captions}\n\n{ran(record['ours'])}. {when([record])}. {record['trained_on']:,} drawings "
        f"to train on; {record['captions']} held-out captions, {DRAWN} images of each; {lost['some']} have a word that "
        f"training has not, {lost['all']} no other.\n\n"
        f"How often the caption is found among {CANDIDATES}; chance is {record['chance']:.3f}:\n\n"
        f"{markdown(['mean [95 % interval over captions]', 'right', 'shuffled captions', 'difference'], rows)}\n\n"
        "Distances of an image of every caption to the training drawings, by `efflite0`:\n\n"
        f"{markdown(['[95 % interval]', *(f'{name} ↓' for name in METRICS.values())], far)}\n\n"
        "Held-out captions, the true drawing, two images of Stage-I, six of Stage-II; evenly chosen captions, the "
        f"first images of each:\n\n{bench.link(f'{captions}.webp')}"
    )


HEAD = """# Text to images, measured

<!-- by hand: introduction -->

`stackgan` draws what a caption says, small at first and then at full size. Here it learns from Twitter's emoji and
what Unicode calls them, and is asked for emoji that it has not seen, by their captions.

<!-- end -->

The tables and pictures are written by `python benchmarks/text_to_image.py` from
`benchmarks/results/text_to_image.json`; the script's header says how it is measured. The matcher, which says what an
image shows, is itself right about so many real drawings as the first row says: no generator can be expected to better
that. One run, one seed.
"""
TAIL = """## What the figures say

<!-- by hand: discussion -->

Not written yet.

<!-- end -->

Drawings: Twemoji by Twitter (CC-BY-4.0), and Noto Emoji by Google (Apache-2.0) for the matcher; captions: emojibase
(MIT).
"""


def page(sections: list[str]) -> str:
    return "\n".join([HEAD, *sections, TAIL])


PARTS = {
    captions: Part((MINUTES,), partial(measure, captions), partial(section, captions))
    for captions in ("words", "minilm")
}


def main() -> None:
    parser = bench_parser(NAME, __doc__, PARTS)
    parser.set_defaults(only=None if has_minilm() else "words")
    play_parts(NAME, parser, PARTS, page)


if __name__ == "__main__":
    main()
