"""Run a training script of eriklindernoren/PyTorch-GAN, unchanged, under a clock, and keep what it generates.

    git --git-dir=... archive HEAD implementations | tar x -C DIR
    python benchmarks/peers.py --peer-folder DIR --script dcgan --minutes 10 --snapshots 24,60,120,300,600 \\
        --out FILE.npz

    python benchmarks/peers.py --peer-folder DIR --script cyclegan --images FOLDER --minutes 40 --snapshots 2400 \
        --out FILE.npz

The script runs in a process of its own, with its default arguments, in a scratch copy of its folder whose MNIST is
Fashion-MNIST at the size that the script asks for (28, or 28 padded to 32), so that its Resize changes nothing. The
only things replaced are `builtins.print` and `sys.stdout`, to which these scripts write after every batch: there we
look at the clock.

A script that translates is given FOLDER, with train/A, train/B, test/A and test/B, as its data, and the side of the
images in it; its snapshots are of all images of test/A, by name.

The clock starts at the first of these calls (the first batch is a gift to the peer), counts all that the script does
from there (reading data, its own sample grids) and stands still while we take a snapshot: 10,000 images by the
script's generator as it is, in evaluation mode and again in training mode (batch statistics), so that a benchmark can
take whichever is better for the peer. Snapshots draw from a generator of their own and put back what they change, so
that training goes on as if nobody had looked.

FILE.npz holds, for each snapshot at S seconds:
    images_S_eval, images_S_train   uint8 (10000, 28, 28, 1); of a script that translates (N, side, side, 3)
    seconds_S, seen_S, batches_S    counted seconds when it was taken; training images and batches until then
and of the whole run: seconds, seen, batches, batches_per_second, and `about` (JSON: script, its SHA-256, machine).
"""

from __future__ import annotations

import argparse
import builtins
import gzip
import hashlib
import json
import os
import platform
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

FASHION = Path("/usr/share/datasets/fashion-mnist")
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SIDE = 28
IMAGES = 10_000
BATCH = 250
SEED = 0

Globals = dict[str, Any]
Inputs = Iterator[tuple[Tensor, ...]]
"""Batches of the arguments of a generator."""


# ---- what differs between the scripts


def _latents(script: Globals, n: int, rng: torch.Generator) -> tuple[Tensor, ...]:
    return (torch.randn(n, script["opt"].latent_dim, generator=rng),)


def _latents_and_labels(script: Globals, n: int, rng: torch.Generator) -> tuple[Tensor, ...]:
    return *_latents(script, n, rng), torch.randint(script["opt"].n_classes, (n,), generator=rng)


def _latents_labels_and_codes(script: Globals, n: int, rng: torch.Generator) -> tuple[Tensor, ...]:
    z, labels = _latents_and_labels(script, n, rng)
    codes = torch.rand(n, script["opt"].code_dim, generator=rng) * 2 - 1
    return z, nn.functional.one_hot(labels, script["opt"].n_classes).float(), codes


def drawn(draw: Callable[[Globals, int, torch.Generator], tuple[Tensor, ...]]) -> Callable[[Globals], Inputs]:
    """`IMAGES` arguments, the same whenever they are asked for."""

    def inputs(script: Globals) -> Inputs:
        rng = torch.Generator().manual_seed(SEED)
        for _ in range(IMAGES // BATCH):
            yield draw(script, BATCH, rng)

    return inputs


LATENTS = drawn(_latents)


def _test_images(script: Globals) -> Inputs:
    """All of test/A, as the script's own dataset would give them without its crops and flips."""
    for path in sorted(Path("../../data", script["opt"].dataset_name, "test", "A").iterdir()):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"), np.float32)
        yield (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1,)


@dataclass(frozen=True)
class Peer:
    """What we must know of a script to sample from it.

    Attributes:
        net: name of the global that holds the generator.
        inputs: the script's globals to the arguments of its generator, drawn as the script draws them.
        translates: whether it makes images of images.
    """

    net: str = "generator"
    inputs: Callable[[Globals], Inputs] = LATENTS
    translates: bool = False


PEERS = {
    "dcgan": Peer(),
    "aae": Peer(net="decoder"),
    "acgan": Peer(inputs=drawn(_latents_and_labels)),
    "began": Peer(),
    "bgan": Peer(),
    "cgan": Peer(inputs=drawn(_latents_and_labels)),
    "cyclegan": Peer(net="G_AB", inputs=_test_images, translates=True),
    "dragan": Peer(),
    "ebgan": Peer(),
    "gan": Peer(),
    "infogan": Peer(inputs=drawn(_latents_labels_and_codes)),
    "lsgan": Peer(),
    "relativistic_gan": Peer(),
    "softmax_gan": Peer(),
    "wgan": Peer(),
    "wgan_div": Peer(),
    "wgan_gp": Peer(),
}


# ---- outside: prepare the scratch copy and start the process


def measure(
    peer_folder: Path,
    script: str,
    minutes: float,
    snapshots: list[int],
    out: Path,
    seed: int | None,
    images: Path | None = None,
) -> None:
    """Run `script` of the checkout `peer_folder` for so many minutes of training and write the snapshots to `out`.

    Args:
        images: the data of a script that translates.

    Raises:
        SystemExit: the script failed, or ended before the last snapshot.
    """
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gansmith-peer-") as scratch:
        cwd = Path(scratch, "implementations", script)
        shutil.copytree(peer_folder / "implementations" / script, cwd)
        file = cwd / f"{script}.py"
        if images is None:
            write_mnist(Path(scratch, "data", "mnist", "MNIST", "raw"), default_size(file.read_text()))
        else:
            Path(scratch, "data").mkdir()
            Path(scratch, "data", "images").symlink_to(images.resolve())
        made = Path(scratch, "out.npz")
        order: dict[str, Any] = {"file": str(file), "script": script, "out": str(made)}
        order["arguments"] = [] if images is None else _arguments(images)
        order |= {"seconds": minutes * 60, "snapshots": snapshots, "seed": seed}
        # The peer must not find our packages by way of ours: no PYTHONPATH.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [sys.executable, str(Path(__file__).resolve()), "--inside", json.dumps(order)]
        code = subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL).returncode
        if code:
            raise SystemExit(f"{script}: the script ended with code {code}; see above")
        shutil.move(made, out)


def default_size(source: str) -> int:
    """The image size that a script trains at by default."""
    found = re.search(r'"--img_size".*?default=(\d+)', source)
    if not found or int(found[1]) not in (SIDE, 32):
        raise SystemExit("expected a script with an --img_size of 28 or 32 by default")
    return int(found[1])


def _arguments(images: Path) -> list[str]:
    """The command line of a script that translates: its data, their size, and no more loaders than we have cores."""
    with Image.open(next((images / "test" / "A").iterdir())) as image:
        width, height = image.size
    return f"--dataset_name images --img_width {width} --img_height {height} --n_cpu {os.cpu_count()}".split()


def write_mnist(folder: Path, size: int) -> None:
    """Fashion-MNIST, padded to `size` by repeating its edges, as torchvision's MNIST expects to find it unpacked."""
    folder.mkdir(parents=True)
    for name in IDX_FILES:
        content = gzip.decompress((FASHION / f"{name}.gz").read_bytes())
        if "idx3" in name and size != SIDE:
            images = np.frombuffer(content, np.uint8, offset=16).reshape(-1, SIDE, SIDE)
            edge = (size - SIDE) // 2
            images = np.pad(images, ((0, 0), (edge, edge), (edge, edge)), mode="edge")
            # IDX: magic number, then each dimension, big-endian.
            content = content[:4] + np.array(images.shape, ">i4").tobytes() + images.tobytes()
        (folder / name).write_bytes(content)


# ---- inside: the peer's process


class Enough(SystemExit):
    """Time is up: leave the script."""


@dataclass
class Watch:
    """Stands in for `print` and `sys.stdout`: looks at the clock at every batch, takes snapshots when they are due, and
    ends the run.

    Attributes:
        peer: how to sample from the script.
        seconds: counted seconds after which the run ends.
        due: the seconds of the snapshots still to come, ascending.
        record: the arrays to save.
    """

    peer: Peer
    seconds: float
    due: list[int]
    record: dict[str, Any] = field(default_factory=dict)
    started: float | None = None
    batches_before: int = 0
    paused: float = 0.0

    def __call__(self, *_: object, **__: object) -> None:
        now = time.perf_counter()
        script = sys._getframe(1).f_globals
        if not {self.peer.net, "dataloader", "epoch", "i"} <= script.keys():
            return  # not in the training loop yet
        batches, seen = _position(script)
        if self.started is None:
            self.started, self.batches_before = now, batches
        elapsed = now - self.started - self.paused
        if elapsed >= self.seconds or (self.due and elapsed >= self.due[0]):
            rate = (batches - self.batches_before) / max(elapsed, 1e-9)
            self.record |= {"seconds": elapsed, "seen": seen, "batches": batches, "batches_per_second": rate}
        while self.due and elapsed >= self.due[0]:
            name = self.due.pop(0)
            self.record |= {f"seconds_{name}": elapsed, f"seen_{name}": seen, f"batches_{name}": batches}
            self.record |= {f"images_{name}_{mode}": x for mode, x in sample(self.peer, script).items()}
        if elapsed >= self.seconds:
            raise Enough(0)
        self.paused += time.perf_counter() - now

    write = __call__

    def flush(self) -> None:
        """Nothing is kept back."""


def _position(script: Globals) -> tuple[int, int]:
    """Batches and training images until now, from the loop's variables: some scripts print only every few batches."""
    loader = script["dataloader"]
    in_epoch = script["i"] + 1
    whole = len(loader.dataset)
    return (
        script["epoch"] * len(loader) + in_epoch,
        script["epoch"] * whole + min(in_epoch * loader.batch_size, whole),
    )


def sample(peer: Peer, script: Globals) -> dict[str, np.ndarray]:
    """Images, uint8, of the script's generator, by mode: ``eval`` and ``train``, from equal latents or images.

    The generator, its running statistics and torch's random state are left as they were.
    """
    net: nn.Module = script[peer.net]
    device = next(net.parameters()).device
    modes = {module: module.training for module in net.modules()}
    buffers = {name: value.clone() for name, value in net.named_buffers()}
    images = {}
    # Dropout in training mode draws from the global generator.
    with torch.no_grad(), torch.random.fork_rng():
        for mode in ("eval", "train"):
            net.train(mode == "train")
            made = [net(*(x.to(device) for x in inputs)) for inputs in peer.inputs(script)]
            images[mode] = np.concatenate([to_uint8(part if peer.translates else centre(part)) for part in made])
        for name, value in net.named_buffers():
            value.copy_(buffers[name])
    for module, training in modes.items():
        module.training = training
    return images


def centre(images: Tensor) -> Tensor:
    """(N, C, H, W) to its centre (N, C, 28, 28)."""
    edge = (images.shape[-1] - SIDE) // 2
    return images[..., edge : edge + SIDE, edge : edge + SIDE]


def to_uint8(images: Tensor) -> np.ndarray:
    """(N, C, H, W) in [-1, 1] to (N, H, W, C) in 0..255."""
    return ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


def run_inside(order: dict[str, Any]) -> None:
    """Play the script as ``python script.py`` would, with our `print` and `sys.stdout`, and save what the watch has
    recorded."""
    file = Path(order["file"])
    if order["seed"] is not None:
        torch.manual_seed(order["seed"])
        np.random.seed(order["seed"])
    watch = Watch(PEERS[order["script"]], order["seconds"], list(order["snapshots"]))
    argv, sys.argv = sys.argv, [file.name, *order["arguments"]]
    sys.path[0] = str(file.parent)
    own_print, builtins.print = builtins.print, watch
    own_out, sys.stdout = sys.stdout, watch  # type: ignore[assignment]
    try:
        runpy.run_path(str(file), run_name="__main__")
    except Enough:
        pass
    else:
        raise SystemExit(f"{file.name} ended by itself before {order['seconds']:g} seconds")
    finally:
        builtins.print, sys.stdout, sys.argv = own_print, own_out, argv
    about = {
        "script": order["script"],
        "arguments": order["arguments"],
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "seed": order["seed"],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),  # more than `threads` says that others had a part of the machine
    }
    np.savez_compressed(order["out"], about=json.dumps(about), **watch.record)


# ---- command line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-folder", type=Path, required=True, help="a checkout of eriklindernoren/PyTorch-GAN")
    parser.add_argument("--script", choices=PEERS, default="dcgan")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="the data of a script that translates")
    parser.add_argument("--minutes", type=float, default=10.0, help="of counted training")
    parser.add_argument("--snapshots", default="24,60,120,300,600", help="counted seconds, separated by commas")
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    parser.add_argument("--seed", type=int, help="seed torch and numpy before the script starts (it seeds nothing)")
    args = parser.parse_args()
    snapshots = sorted({int(s) for s in args.snapshots.split(",")})
    if not snapshots or snapshots[0] < 0 or snapshots[-1] > args.minutes * 60:
        parser.error(f"--snapshots: expected seconds from 0 to {args.minutes * 60:g}, got {args.snapshots}")
    # A script that is told to stop must not leave the peer's process behind: `subprocess.run` ends it on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    if PEERS[args.script].translates != (args.images is not None):
        parser.error("--images is for scripts that translate, and these need it")
    measure(args.peer_folder, args.script, args.minutes, snapshots, args.out, args.seed, args.images)
    with np.load(args.out) as record:
        for s in snapshots:
            print(
                f"{record[f'seconds_{s}']:7.1f} s  {record[f'seen_{s}']:9d} images  {record[f'batches_{s}']:7d} batches"
            )
        print(f"{record['batches_per_second']:.2f} batches/s; {record['about']}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        run_inside(json.loads(sys.argv[2]))
    else:
        main()
