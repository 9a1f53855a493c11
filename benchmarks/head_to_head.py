"""Eight scripts of PyTorch-GAN, unchanged, against our families of the same papers: ten minutes each, in turn.

    git clone https://github.com/eriklindernoren/PyTorch-GAN PEER        (or any other copy of it)
    python benchmarks/head_to_head.py --peer-folder PEER                 # about 3 hours
    python benchmarks/head_to_head.py --peer-folder PEER --only wgan,gan --redo

All train on the whole of Fashion-MNIST, the peers' at the size that their script asks for (28, or 28 padded to 32). The
peer's clock counts its training alone (see `peers.py`); ours counts all of ``gansmith train FAMILY --minutes 10``:
reading, evaluation, pictures. 10,000 samples of each are scored by `fashion-cnn` features against 10,000 training
images; of the peer's two ways to sample, in evaluation and in training mode, the better one counts. One run each.

It can be stopped at any time and goes on where it was: a finished pair is in ``results/head_to_head.json``, a peer's
finished samples and our run are in the work folder. `gap_seconds` of a record is the time between the peer's end and
our start: more than a few seconds where the benchmark was stopped in between, or ours was measured again
(``--redo-ours``).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import gansmith
from common import (
    COUNT,
    HERE,
    RESULTS,
    WORK,
    Failed,
    FashionMnist,
    Progress,
    Results,
    about,
    chosen,
    forget,
    markdown,
    records_of,
    run_process,
    say,
    settings_flags,
    stop_on_signals,
    train,
    when,
)

FILE = RESULTS / "head_to_head.json"
Record = dict[str, Any]


@dataclass(frozen=True)
class Ours:
    """Our counterpart of a script."""

    family: str
    settings: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        return " ".join(["gansmith train", self.family, "--data fashion-mnist", *settings_flags(self.settings)])


PAIRS = {
    "gan": Ours("gan"),
    "dcgan": Ours("dcgan"),
    "cgan": Ours("cgan"),
    "wgan": Ours("wgan"),
    "wgan_gp": Ours("wgan-gp"),
    "lsgan": Ours("lsgan"),
    "aae": Ours("aae"),
    "acgan": Ours("cgan", ("conditioning=acgan",)),
}


@dataclass(frozen=True)
class Place:
    """Where one pair's files live."""

    work: Path
    script: str
    minutes: float

    @property
    def peer(self) -> Path:
        return self.work / f"{self.script}-{self.minutes:g}min-peer.npz"

    @property
    def ours(self) -> Path:
        return self.work / f"{self.script}-{self.minutes:g}min-ours"


def train_peer(folder: Path, script: str, minutes: float, marks: list[int], out: Path) -> None:
    """Plays a script of PyTorch-GAN (see `peers.py`), and takes its samples after so many seconds.

    Raises:
        Failed: the script did not come to its end.
    """
    order = [sys.executable, str(HERE / "peers.py"), "--peer-folder", str(folder), "--script", script]
    order += ["--minutes", f"{minutes:g}", "--snapshots", ",".join(map(str, marks)), "--out", str(out)]
    run_process(order, out.with_suffix(".log"))


def scored(samples: Any, second: int, fashion: FashionMnist) -> dict[str, float]:
    """The distance of a peer's samples after so many seconds, by mode."""
    return {mode: fashion.frechet(samples[f"images_{second}_{mode}"]) for mode in ("eval", "train")}


def peer_record(script: str, path: Path, fashion: FashionMnist) -> Record:
    """What a peer came to at its last snapshot."""
    with np.load(path, allow_pickle=False) as samples:
        last = max(int(name.split("_")[1]) for name in samples.files if name.startswith("images_"))
        distances = scored(samples, last, fashion)
        seen, seconds = int(samples["seen"]), float(samples["seconds"])
        told = json.loads(str(samples["about"]))
    return {
        "script": f"{script}.py",
        "sha256": told["sha256"],
        "frechet": min(distances.values()),
        "frechet_by_mode": distances,
        "images": seen,
        "images_per_second": round(seen / seconds, 1),
        "seconds": round(seconds, 1),
    }


def measure(place: Place, folder: Path, fashion: FashionMnist) -> Record:
    """Both runs of a pair, and what became of them; the message of one that failed."""
    ours = PAIRS[place.script]
    record: Record = {"minutes": place.minutes, **about()}
    try:
        if not place.peer.exists():
            train_peer(folder, place.script, place.minutes, [int(60 * place.minutes)], place.peer)
        gap = time.time() - place.peer.stat().st_mtime
        length = ["--minutes", f"{place.minutes:g}", *settings_flags(ours.settings)]
        result = train(ours.family, place.ours, *length)
    except Failed as failure:
        return record | {"failed": str(failure)}
    peer = peer_record(place.script, place.peer, fashion)
    distance = fashion.frechet(gansmith.load(place.ours).sample(COUNT))
    mine = {
        "command": f"{ours.command} --minutes {place.minutes:g}",
        "frechet": distance,
        **{name: result[name] for name in ("images", "images_per_second", "seconds", "wall_seconds")},
    }
    return record | {
        "peer": peer,
        "ours": mine,
        "ratio": round(peer["frechet"] / distance, 2),
        "gap_seconds": round(gap, 1),
    }


# ---- the document


def sections(path: Path = FILE) -> Iterator[str]:
    """The table, for `docs/families.md`."""
    records = records_of(path)
    rows = []
    for script in PAIRS:
        record = records.get(script, {})
        if "ratio" not in record:
            continue
        peer, ours = record["peer"], record["ours"]
        name = ours["command"].removeprefix("gansmith train ").replace(" --data fashion-mnist", "")
        row = [f"`{script}.py`", f"`{name.split(' --minutes')[0]}`", f"{peer['frechet']:.2f}", f"{ours['frechet']:.2f}"]
        row += [f"{record['ratio']:.1f}", f"{peer['images_per_second']:,.0f}", f"{ours['images_per_second']:,.0f}"]
        rows.append([*row, f"{ours['wall_seconds']:.0f}", f"{record['gap_seconds']:,.0f}"])
    if rows:
        yield "## Against PyTorch-GAN\n"
        yield (
            f"`python benchmarks/head_to_head.py --peer-folder PEER`, {when(records.values())}. The script unchanged, "
            f"and after it our family for the same {next(iter(records.values()))['minutes']:g} minutes, one run "
            "each, the gap between them in seconds; the script's clock counts training alone, ours the whole command. "
            "Fréchet distance of 10,000 samples by `fashion-cnn`; the script's in evaluation or training mode, "
            "whichever is better. A ratio above 1 is ours nearer to real images.\n"
        )
        columns = ["script", "ours", "Fréchet, theirs", "ours", "ratio", "images/s, theirs", "ours", "s, ours", "gap"]
        yield markdown(columns, rows) + "\n"


# ---- command line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-folder", type=Path, required=True, help="a checkout of eriklindernoren/PyTorch-GAN")
    parser.add_argument("--only", metavar="SCRIPT,…", help="these scripts")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--redo", action="store_true", help="forget what there is of these pairs")
    parser.add_argument("--redo-ours", action="store_true", help="forget our runs of these pairs, keep the peers'")
    parser.add_argument("--work", type=Path, default=WORK / "head_to_head", help="where the runs live")
    asked = parser.parse_args()
    stop_on_signals()
    results, fashion = Results(FILE, "python benchmarks/head_to_head.py --peer-folder PEER"), FashionMnist()
    places = [Place(asked.work, script, asked.minutes) for script in chosen(PAIRS, asked.only, parser)]
    if asked.redo or asked.redo_ours:
        results.drop(place.script for place in places)
        for place in places:
            forget(place.ours)
            if asked.redo:
                place.peer.unlink(missing_ok=True)
    todo = [place for place in places if "ratio" not in results.records.get(place.script, {})]
    asked.work.mkdir(parents=True, exist_ok=True)
    progress = Progress([asked.minutes * (1.1 if place.peer.exists() else 2.3) for place in todo])
    for place in todo:
        progress.begin(place.script)
        record = measure(place, asked.peer_folder, fashion)
        results.put(place.script, record)
        say(f"  {told(record)}")
    print("\n".join(sections()))
    if any("ratio" in record and record["ratio"] <= 1 for record in results.records.values()):
        raise SystemExit("a script of the peer's is nearer to real images than ours")


def told(record: Record) -> str:
    """A record in a line."""
    if "failed" in record:
        return f"failed: {record['failed']}"
    return f"theirs {record['peer']['frechet']:.2f}, ours {record['ours']['frechet']:.2f}: {record['ratio']:.1f} times"


if __name__ == "__main__":
    main()
