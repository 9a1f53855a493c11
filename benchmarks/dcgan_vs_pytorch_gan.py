"""Our `dcgan` against PyTorch-GAN's `dcgan.py`, unchanged, ten minutes each on the same machine, one after the other.

    git clone https://github.com/eriklindernoren/PyTorch-GAN PEER        (or any other copy of it)
    python benchmarks/dcgan_vs_pytorch_gan.py --peer-folder PEER [--minutes 10] [--out benchmarks/results/…json]

Both train on the whole of Fashion-MNIST, padded to 32x32. The peer's clock counts its training only (see `peers.py`);
ours counts all of `gansmith train dcgan --data fashion-mnist --minutes 10`: reading, evaluation, pictures. Then we
train once more, in batches of 16, for a twenty-fifth of the time, counted as the peer's is: training only. 10,000
samples of each are scored by `fashion-cnn` features against 10,000 training images; of the peer's two ways to sample
the better one counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

import gansmith
from common import COUNT, RESULTS, FashionMnist, machine, settings_flags, train
from head_to_head import scored, train_peer

FRACTION = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-folder", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=RESULTS / "dcgan_vs_pytorch_gan.json")
    parser.add_argument("--work", type=Path, help="keep the runs here")
    asked = parser.parse_args()
    work = asked.work or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    peer_file = work / "peer.npz"
    if not peer_file.exists():
        marks = sorted({max(1, round(60 * asked.minutes * share)) for share in (1 / FRACTION, 0.1, 0.2, 0.5, 1.0)})
        train_peer(asked.peer_folder, "dcgan", asked.minutes, marks, peer_file)
    ours = train("dcgan", work / "ours", "--minutes", str(asked.minutes))
    share = 60 * asked.minutes / FRACTION
    # So short a run needs more steps rather than larger ones: batches of 16 go at about 0.7 of the speed. The rest is
    # margin: speed varies on a shared machine, and the time must not be passed.
    kimg = 0.64 * share * float(ours["images_per_second"]) / 1000
    settings = ("train.batch=16", "train.evaluations=0", "train.frames=0")
    quick = train("dcgan", work / "quick", "--kimg", f"{kimg:.3f}", *settings_flags(settings))

    fashion = FashionMnist()
    with np.load(peer_file, allow_pickle=False) as peer:
        marks = sorted(int(name.split("_")[1]) for name in peer.files if name.endswith("_eval"))
        curve = {mark: min(scored(peer, mark, fashion).values()) for mark in marks}
        speed = float(peer["batches_per_second"]) * 64
    mine = {name: fashion.frechet(gansmith.load(work / name).sample(COUNT)) for name in ("ours", "quick")}
    end = curve[max(curve)]
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "minutes": asked.minutes,
        "peer": {"frechet_by_second": curve, "images_per_second": round(speed)},
        "ours": {
            "frechet": mine["ours"],
            "images": ours["images"],
            "images_per_second": ours["images_per_second"],
            "training_seconds": ours["seconds"],
            "wall_seconds": ours["wall_seconds"],
        },
        "quick": {"frechet": mine["quick"], "images": quick["images"], "training_seconds": quick["seconds"]},
        "ratio": round(end / mine["ours"], 2),
        "reached_in_a_25th": mine["quick"] <= end and float(quick["seconds"]) <= share,
    }
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
