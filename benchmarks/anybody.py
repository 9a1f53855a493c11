"""The doctor in scripts that know nothing of gansmith: `gan.py` and `wgan.py` of PyTorch-GAN, unchanged.

    python benchmarks/anybody.py --peer-folder PEER [--scripts gan,wgan] [--batches 6000]

Each script runs in a process of its own, with its default arguments, on Fashion-MNIST in the place of MNIST. `print`,
which it calls after every batch, is replaced by a call of `Doctor.step` with what the script's variables hold; nothing
else. What the doctor says is checked against 2,000 samples: the classes that `fashion-cnn` names among them, and their
Fréchet distance by its features; the doctor uses neither. Writes ``results/anybody.json`` and
``docs/pictures/anybody-*.png``.
"""

from __future__ import annotations

import argparse
import builtins
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from peers import default_size, write_mnist

SAMPLES = 2000
HERE = Path(__file__).resolve()
ADDRESS = "--inside"


class Enough(SystemExit):
    """As many batches as were asked for: leave the script."""


class Stethoscope:
    """Stands in for `print`: a step of the doctor at every batch."""

    def __init__(self, batches: int):
        self.batches, self.doctor = batches, None
        self.said: list[dict[str, Any]] = []
        self.script: dict[str, Any] = {}

    def __call__(self, *_: object, **__: object) -> None:
        script = sys._getframe(1).f_globals
        if not {"generator", "discriminator", "gen_imgs", "real_imgs", "dataloader"} <= script.keys():
            return  # not in the training loop yet
        from gansmith.watch import Doctor

        self.script = script
        if self.doctor is None:
            rows = torch.randperm(len(script["dataloader"].dataset), generator=torch.Generator().manual_seed(0))
            real = torch.stack([script["dataloader"].dataset[int(i)][0] for i in rows[:2000]])
            self.doctor = Doctor(real=real, generator=script["generator"], discriminator=script["discriminator"])
        self.doctor.step(
            d_loss=script.get("d_loss", script.get("loss_D")),
            g_loss=script.get("g_loss", script.get("loss_G")),
            fakes=script["gen_imgs"],
        )
        if self.doctor.count % 500 == 0:
            found = self.doctor.verdicts()
            self.said.append(
                {"steps": self.doctor.count, "verdicts": [[v.name, round(v.probability, 3)] for v in found]}
            )
        if self.doctor.count >= self.batches:
            raise Enough(0)


def run_inside(order: dict[str, Any]) -> None:
    """Plays the script as ``python script.py`` would, and saves what the doctor said and the last samples."""
    file, listen = Path(order["file"]), Stethoscope(order["batches"])
    torch.manual_seed(0)
    np.random.seed(0)
    sys.argv, sys.path[0] = [file.name], str(file.parent)
    own, builtins.print = builtins.print, listen  # type: ignore[assignment]
    try:
        runpy.run_path(str(file), run_name="__main__")
    except Enough:
        pass
    finally:
        builtins.print = own
    script, doctor = listen.script, listen.doctor
    assert doctor is not None
    with torch.no_grad():
        z = torch.randn(SAMPLES, script["opt"].latent_dim, generator=torch.Generator().manual_seed(0))
        images = torch.cat([script["generator"](part) for part in z.split(250)])
    edge = (images.shape[-1] - 28) // 2
    images = images[..., edge : edge + 28, edge : edge + 28]
    pixels = ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    found = {
        "text": str(doctor),
        "verdicts": [
            {"name": v.name, "probability": round(v.probability, 4), "severity": v.severity, "evidence": v.evidence}
            for v in doctor.verdicts()
        ],
        "over_time": listen.said,
        "steps": doctor.count,
    }
    np.savez_compressed(order["out"], images=pixels, found=json.dumps(found))


def listened(peer_folder: Path, script: str, batches: int) -> dict[str, Any]:
    """What the doctor says of a script, and what is true of its samples."""
    from common import HERE as BENCHMARKS
    from common import FashionMnist, save_sheet

    with tempfile.TemporaryDirectory(prefix="gansmith-peer-") as scratch:
        cwd = Path(scratch, "implementations", script)
        shutil.copytree(peer_folder / "implementations" / script, cwd)
        file, made = cwd / f"{script}.py", Path(scratch, "out.npz")
        write_mnist(Path(scratch, "data", "mnist", "MNIST", "raw"), default_size(file.read_text()))
        order = {"file": str(file), "batches": batches, "out": str(made)}
        command = [sys.executable, str(HERE), ADDRESS, json.dumps(order)]
        subprocess.run(command, cwd=cwd, env=dict(os.environ), check=True, stdout=subprocess.DEVNULL)
        with np.load(made, allow_pickle=False) as record:
            images, found = record["images"], json.loads(str(record["found"]))
    fashion = FashionMnist()
    classes = np.bincount(fashion.classes(fashion.features(images)), minlength=10) / len(images)
    save_sheet(images[:64], BENCHMARKS.parent / "docs" / "pictures" / f"anybody-{script}.png", columns=16)
    return found | {
        "classes": [round(float(share), 4) for share in classes],
        "frechet": round(float(fashion.frechet(images)), 3),
        "pixel_variance": round(float(images.astype(np.float32).var(0).mean()), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-folder", type=Path, required=True, help="a checkout of eriklindernoren/PyTorch-GAN")
    parser.add_argument("--scripts", default="gan,wgan")
    parser.add_argument("--batches", type=int, default=6000, help="calls of print, which wgan makes every fifth batch")
    asked = parser.parse_args()
    from common import RESULTS, about

    record = {"about": about()}
    for script in asked.scripts.split(","):
        record[script] = listened(asked.peer_folder, script, asked.batches)
        print(script, record[script]["text"], record[script]["classes"], record[script]["frechet"], sep="\n")
    (RESULTS / "anybody.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == [ADDRESS]:
        run_inside(json.loads(sys.argv[2]))
    else:
        main()
