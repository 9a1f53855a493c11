"""Every kind of source gives the same images, labels, captions and splits for the same pictures."""

from __future__ import annotations

import gzip
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith.core.errors import MissingExtra
from gansmith.core.spec import Spec
from gansmith.data import Dataset
from gansmith.data.sources import find_source

Open = Callable[..., Dataset]
Paint = Callable[..., Path]


def everything(data: Dataset) -> np.ndarray:
    return np.concatenate([data.train.images, data.heldout.images])


@pytest.fixture
def pets(tmp_path: Path, paint: Paint) -> Path:
    for i in range(12):
        paint(tmp_path / "pets" / ("cat" if i % 3 else "dog") / f"{i}.png", seed=i)
    return tmp_path / "pets"


def test_folder(photos: Path, opened: Open) -> None:
    data = opened(photos)
    assert data.name == "photos"
    assert data.spec == Spec(resolution=32, channels=3, height=32, width=32)
    assert len(data.train) + len(data.heldout) == 24
    assert len(data.heldout) >= 1
    assert data.train.labels is None
    assert data.train.captions is None
    for split in (data.train, data.heldout):
        assert not split.images.flags.writeable
        for name, pixels in zip(split.names, split.images, strict=True):
            np.testing.assert_array_equal(pixels, np.asarray(Image.open(photos / name).copy()))


def test_folder_classes(pets: Path, opened: Open) -> None:
    data = opened(pets, holdout=0)
    assert data.spec.classes == ("cat", "dog")
    assert data.train.labels is not None
    assert data.train.labels.dtype == np.int64
    assert [data.spec.classes[label] for label in data.train.labels] == [
        name.split("/")[0] for name in data.train.names
    ]


def test_folder_splits_and_hidden_files(tmp_path: Path, paint: Paint, opened: Open) -> None:
    for i in range(6):
        paint(tmp_path / "d" / ("train" if i < 4 else "test") / ("10" if i % 2 else "9") / f"{i}.png", seed=i)
    (tmp_path / "d" / ".DS_Store").write_bytes(b"x")
    paint(tmp_path / "d" / "__MACOSX" / "x.png")
    paint(tmp_path / "d" / "train" / "9" / "._0.png")
    data = opened(tmp_path / "d")
    assert (len(data.train), len(data.heldout)) == (4, 2)
    assert data.spec.classes == ("9", "10")


def test_folder_links(photos: Path, tmp_path: Path, opened: Open) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "linked").symlink_to(photos)
    (photos / "loop").symlink_to(photos)
    assert len(everything(opened(tmp_path / "d"))) == 24


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_metadata(pets: Path, opened: Open, kind: str) -> None:
    rows = [
        {"file_name": str(path.relative_to(pets)), "text": f'a "{path.stem}", drawn', "label": i % 3, "size": 1}
        for i, path in enumerate(sorted(pets.rglob("*.png")))
    ]
    if kind == "csv":
        quoted = [(row["file_name"], '"' + row["text"].replace('"', '""') + '"', row["label"]) for row in rows]
        lines = ["file_name,text,label", *(",".join(map(str, row)) for row in quoted)]
    else:
        lines = [json.dumps(row) for row in rows]
    (pets / f"metadata.{kind}").write_text("\n".join(lines) + "\n")
    data = opened(pets, holdout=0)
    assert data.spec.classes == ("0", "1", "2")
    assert data.train.captions == tuple(f'a "{Path(name).stem}", drawn' for name in data.train.names)
    assert data.train.labels is not None
    assert data.train.labels.tolist() == [i % 3 for i in range(12)]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tgz", "tar.xz", "tar.bz2"])
def test_archives_equal_the_folder(pets: Path, tmp_path: Path, opened: Open, kind: str) -> None:
    path = tmp_path / f"pets.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(pets.rglob("*.png")):
                archive.write(file, file.relative_to(tmp_path))
            archive.write(file, "../outside.png")
    else:
        with tarfile.open(path, {"tar": "w", "tgz": "w:gz"}.get(kind) or "w:" + kind[4:]) as tar:
            tar.add(pets, "./pets")
            tar.add(next(pets.rglob("*.png")), "../../outside.png")
    data, folder = opened(path, holdout=0), opened(pets, holdout=0)
    np.testing.assert_array_equal(data.train.images, folder.train.images)
    np.testing.assert_array_equal(data.train.labels, folder.train.labels)
    assert data.spec == folder.spec
    assert not list(tmp_path.rglob("outside.png"))


def write_idx(path: Path, values: np.ndarray) -> None:
    content = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("gz", ["", ".gz"])
@pytest.mark.parametrize("dash", ["-", "."])
def test_idx_folder(tmp_path: Path, opened: Open, gz: str, dash: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
    labels = (np.arange(30) % 10).astype(np.uint8)
    for part, rows in {"train": slice(0, 20), "t10k": slice(20, 30)}.items():
        write_idx(tmp_path / "mnist" / f"{part}-images{dash}idx3-ubyte{gz}", images[rows])
        write_idx(tmp_path / "mnist" / f"{part}-labels{dash}idx1-ubyte{gz}", labels[rows])
    data = opened(tmp_path / "mnist")
    assert data.spec.resolution == 32
    assert data.spec.classes == tuple("0123456789")
    np.testing.assert_array_equal(data.train.images[:, 2:30, 2:30, 0], images[:20])
    np.testing.assert_array_equal(data.heldout.labels, labels[20:])


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "pictures.gz", "pictures"])
def test_idx_file(tmp_path: Path, opened: Open, name: str) -> None:
    write_idx(tmp_path / name, np.zeros((5, 16, 16), np.uint8))
    assert opened(tmp_path / name).train.images.shape == (5, 16, 16, 1)


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((12, 16, 16), 1), ((12, 16, 16, 1), 1), ((12, 16, 16, 3), 3), ((12, 3, 16, 16), 3), ((12, 1, 16, 16), 1)],
)
@pytest.mark.parametrize("kind", ["uint8", "float [0, 1]", "float [-1, 1]"])
def test_npy(tmp_path: Path, opened: Open, shape: tuple[int, ...], channels: int, kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    values.flat[:2] = 0, 255
    stored = {"uint8": values, "float [0, 1]": values / 255, "float [-1, 1]": (values / 127.5 - 1).astype(np.float32)}
    np.save(tmp_path / "x.npy", stored[kind])
    data = opened(tmp_path / "x.npy", holdout=0)
    expected = values if values.ndim == 3 or shape[-1] == channels else values.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(data.train.images, expected.reshape(12, 16, 16, channels))


@pytest.mark.parametrize("labels", [np.arange(12) % 3, np.array(list("abc") * 4), np.array([b"a", b"b", b"c"] * 4)])
def test_npz_labels(tmp_path: Path, opened: Open, labels: np.ndarray) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((12, 16, 16), np.uint8), labels=labels, other=np.zeros(3))
    data = opened(tmp_path / "x.npz", holdout=0)
    assert len(data.spec.classes) == 3
    np.testing.assert_array_equal(data.train.labels, np.arange(12) % 3)


def test_npz_single_array(tmp_path: Path, opened: Open) -> None:
    np.savez(tmp_path / "x.npz", whatever=np.zeros((12, 16, 16), np.uint8))
    assert opened(tmp_path / "x.npz", holdout=0).train.labels is None


def test_hub_from_a_local_path(pets: Path, tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    files = sorted(pets.rglob("*.png"))
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["dog", "cat"]), text=datasets.Value("string")
    )
    columns = {
        "image": [str(file) for file in files],
        "label": [file.parent.name for file in files],
        "text": [file.stem for file in files],
    }
    table = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict(train=table, test=table.select(range(3))).save_to_disk(tmp_path / "saved")
    data = opened(f"hf:{tmp_path / 'saved'}")
    assert (len(data.train), len(data.heldout)) == (12, 3)
    assert data.spec.classes == ("dog", "cat")
    assert data.train.captions == tuple(file.stem for file in files)
    assert data.train.labels is not None
    assert data.train.labels.tolist() == [int(file.parent.name == "cat") for file in files]
    np.testing.assert_array_equal(data.train.images[0], np.asarray(Image.open(files[0]).copy()))
    assert opened(f"hf:{tmp_path / 'saved'}").fingerprint == data.fingerprint


def test_hub_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r'hf:any needs more packages: pip install "gansmith\[data\]"') as caught:
        find_source("hf:any")
    assert caught.value.exit_code == 3
