"""Bad input: what is at fault and the way out are named, and nothing is left in the cache."""

from __future__ import annotations

import gzip
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith.core.errors import DataError
from gansmith.data import Dataset
from gansmith.data.sources import idx

Open = Callable[..., Dataset]
Maker = Callable[[Path], Path]
CASES: list[tuple[Maker, str]] = []


def case(message: str) -> Callable[[Maker], Maker]:
    """Register a maker of bad input under `tmp_path`, with the message (a pattern) that it must give."""

    def register(maker: Maker) -> Maker:
        CASES.append((maker, message))
        return maker

    return register


def picture(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (16, 16), shade).save(path)
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def described(root: Path, table: str, content: str | bytes, images: int = 3) -> Path:
    """A folder of images 0.png, 1.png ... and a metadata table."""
    for i in range(images):
        picture(root / "d" / f"{i}.png", i)
    written(root / "d" / table, content.encode() if isinstance(content, str) else content)
    return root / "d"


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


@case(r"no such file or folder: .*photo'; did you mean .*photos\?")
def misspelt(root: Path) -> Path:
    (root / "photos").mkdir()
    return root / "photo"


@case(r"no such file or folder: .*; expected a folder of images, or a \.zip")
def absent(root: Path) -> Path:
    return root / "nowhere" / "at" / "all"


@case(r"d: no images in this folder or below it; it is empty")
def empty_folder(root: Path) -> Path:
    (root / "d").mkdir()
    return root / "d"


@case(r"no images in this folder or below it; files there: 1 of \.txt")
def folder_of_text(root: Path) -> Path:
    return written(root / "x.txt", b"x").parent


@case(r"one.png: a single image; give the folder that it is in")
def single_image(root: Path) -> Path:
    return picture(root / "one.png")


@case(r"d: 1 usable image to train on; at least 2 are needed")
def folder_of_one(root: Path) -> Path:
    return picture(root / "d" / "one.png").parent


@case(r"x.txt: not a kind of file that holds images here; expected a folder")
def text_file(root: Path) -> Path:
    return written(root / "x.txt", b"hello")


@case(r"d: 2 of 12 images cannot be read: 0.png: .*; 1.png: .*gansmith data")
def many_broken(root: Path) -> Path:
    for i in range(12):
        picture(root / "d" / f"{i}.png", i)
    for i in range(2):
        written(root / "d" / f"{i}.png", b"broken")
    return root / "d"


@case(r"images cannot be read: 0.png: .*truncated")
def truncated(root: Path) -> Path:
    for i in range(4):
        picture(root / "d" / f"{i}.png", i)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(root / "d" / "0.png")
    content = (root / "d" / "0.png").read_bytes()
    return written(root / "d" / "0.png", content[:2000]).parent


@case(r"0.png: .*exceeds limit of .* pixels")
def bomb(root: Path) -> Path:
    folder = picture(root / "d" / "1.png").parent
    content = bytearray((folder / "1.png").read_bytes())
    header = struct.pack(">II", 50000, 50000) + content[24:29]
    content[16:33] = header + struct.pack(">I", __import__("zlib").crc32(b"IHDR" + header))
    return written(folder / "0.png", bytes(content)).parent


@case(r"1.png: No such file")
def dangling_link(root: Path) -> Path:
    folder = picture(root / "d" / "0.png").parent
    (folder / "1.png").symlink_to(root / "gone.png")
    return folder


@case(r"x.zip: not a readable zip file")
def broken_zip(root: Path) -> Path:
    return written(root / "x.zip", b"PK\x03\x04 nothing")


@case(r"x.zip: no images in this archive")
def zip_of_text(root: Path) -> Path:
    with zipfile.ZipFile(root / "x.zip", "w") as archive:
        archive.writestr("readme.txt", "x")
    return root / "x.zip"


@case(r"x.zip: 2 of 2 images cannot be read: 0.png: decompression bomb")
def zip_bomb(root: Path) -> Path:
    with zipfile.ZipFile(root / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("0.png", "1.png"):
            archive.writestr(name, b"0")
    # The size that the directory states, as a bomb would, without the bytes.
    content = (root / "x.zip").read_bytes()
    parts = content.split(b"PK\x01\x02")
    parts[1:] = [part[:20] + struct.pack("<I", 1 << 31) + part[24:] for part in parts[1:]]
    return written(root / "x.zip", b"PK\x01\x02".join(parts))


@case(r"x.tar.gz: not a readable tar file")
def broken_tar(root: Path) -> Path:
    return written(root / "x.tar.gz", b"nothing")


@case(r"x.tar.gz: not a readable tar file")
def truncated_tar(root: Path) -> Path:
    for i in range(3):
        picture(root / "d" / f"{i}.png", i)
    with tarfile.open(root / "x.tar.gz", "w:gz") as archive:
        archive.add(root / "d", "d")
    content = (root / "x.tar.gz").read_bytes()
    return written(root / "x.tar.gz", content[: len(content) // 2])


@case(r"x.npy: not a readable .npy file of numbers: .*Python objects")
def pickled_npy(root: Path) -> Path:
    np.save(root / "x.npy", np.array([{"a": 1}, None]), allow_pickle=True)
    return root / "x.npy"


@case(r"x.npy: not a readable .npy file")
def truncated_npy(root: Path) -> Path:
    content = saved(root / "x.npy", np.zeros((9, 16, 16), np.uint8)).read_bytes()
    return written(root / "x.npy", content[:-100])


@case(r"x.npy: not a readable .npy file")
def empty_npy(root: Path) -> Path:
    return written(root / "x.npy", b"")


@case(r"x.npy: expected images of shape .* got \(9, 16\)")
def flat_npy(root: Path) -> Path:
    return saved(root / "x.npy", np.zeros((9, 16), np.uint8))


@case(r"x.npy: expected images of shape .* got \(9, 16, 16, 2\)")
def two_channels(root: Path) -> Path:
    return saved(root / "x.npy", np.zeros((9, 16, 16, 2), np.uint8))


@case(r"x.npy: expected uint8, or float .* got int64")
def integer_npy(root: Path) -> Path:
    return saved(root / "x.npy", np.zeros((9, 16, 16), np.int64))


@case(r"x.npy: expected floats in \[0, 1\] or \[-1, 1\], got 0 to 255")
def bright_npy(root: Path) -> Path:
    return saved(root / "x.npy", np.linspace(0, 255, 9 * 256).reshape(9, 16, 16))


@case(r"x.npy: expected floats in .* got nan")
def nan_npy(root: Path) -> Path:
    return saved(root / "x.npy", np.full((9, 16, 16), np.nan))


@case(r"x.npy: 0 usable images")
def npy_of_none(root: Path) -> Path:
    return saved(root / "x.npy", np.zeros((0, 16, 16), np.uint8))


@case(r"x.npz: expected an array named images, found a, b")
def npz_without_images(root: Path) -> Path:
    np.savez(root / "x.npz", a=np.zeros(3), b=np.zeros(3))
    return root / "x.npz"


@case(r"x.npz: labels: expected shape \(9,\), one for each image, got \(8,\)")
def npz_with_fewer_labels(root: Path) -> Path:
    np.savez(root / "x.npz", images=np.zeros((9, 16, 16), np.uint8), labels=np.zeros(8, int))
    return root / "x.npz"


@case(r"x.npz: labels: expected whole numbers or names, got float64")
def npz_with_float_labels(root: Path) -> Path:
    np.savez(root / "x.npz", images=np.zeros((9, 16, 16), np.uint8), labels=np.zeros(9))
    return root / "x.npz"


@case(r"x.npz: not a readable .npz file")
def broken_npz(root: Path) -> Path:
    return written(root / "x.npz", b"nothing")


@case(r"train-images-idx3-ubyte: truncated: the header says \(9, 16, 16\), and 100 bytes follow")
def truncated_idx(root: Path) -> Path:
    return written(root / "train-images-idx3-ubyte", struct.pack(">4B3I", 0, 0, 8, 3, 9, 16, 16) + bytes(100))


@case(r"train-images-idx3-ubyte: not an IDX file of unsigned bytes: it begins with nothing")
def empty_idx(root: Path) -> Path:
    return written(root / "train-images-idx3-ubyte", b"")


@case(r"train-images-idx3-ubyte.gz: cannot be read")
def truncated_idx_gz(root: Path) -> Path:
    whole = gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 9, 16, 16) + bytes(9 * 256))
    return written(root / "train-images-idx3-ubyte.gz", whole[:-12])


@case(r"labels: expected shape \(9,\), one for each image, got \(4,\)")
def idx_with_fewer_labels(root: Path) -> Path:
    written(root / "train-images-idx3-ubyte", struct.pack(">4B3I", 0, 0, 8, 3, 9, 16, 16) + bytes(9 * 256))
    return written(root / "train-labels-idx1-ubyte", struct.pack(">4BI", 0, 0, 8, 1, 4) + bytes(4)).parent


@case(r"/d/metadata.csv: line 2: no image '9.png' beside the table")
def row_without_image(root: Path) -> Path:
    return described(root, "metadata.csv", "file_name,text\n9.png,x\n")


@case(r"metadata.csv: line 2: no image '../secret.png' beside the table")
def row_leading_outside(root: Path) -> Path:
    return described(root, "metadata.csv", "file_name,text\n../secret.png,x\n")


@case(r"metadata.csv: no row for 1 of 3 images, such as '2.png'")
def image_without_row(root: Path) -> Path:
    return described(root, "metadata.csv", "file_name,text\n0.png,x\n1.png,y\n")


@case(r"metadata.csv: line 3: '0.png' has a row already \(metadata.csv: line 2\)")
def row_twice(root: Path) -> Path:
    return described(root, "metadata.csv", "file_name,text\n0.png,x\n0.png,y\n")


@case(r"metadata.csv: line 2: no file_name; the columns are file, text")
def table_without_file_name(root: Path) -> Path:
    return described(root, "metadata.csv", "file,text\n0.png,x\n")


@case(r"metadata.csv: line 2: more values than columns; quote")
def unquoted_commas(root: Path) -> Path:
    return described(root, "metadata.csv", "file_name,text\n0.png,x,y,z\n")


@case(r"metadata.csv: line 3: no label, but other rows have one")
def label_missing(root: Path) -> Path:
    return described(root, "metadata.csv", "file_name,label\n0.png,x\n1.png,\n2.png,y\n")


@case(r"metadata.csv: not UTF-8 at byte 15; save it as UTF-8")
def table_in_latin(root: Path) -> Path:
    return described(root, "metadata.csv", "file_name,text\n\xe9".encode("latin-1"))


@case(r"metadata.jsonl: line 2: not JSON")
def broken_json(root: Path) -> Path:
    return described(root, "metadata.jsonl", '{"file_name": "0.png"}\n{"file_name": \n')


@case(r"metadata.jsonl: line 1: expected an object, got \[1\]")
def json_list(root: Path) -> Path:
    return described(root, "metadata.jsonl", "[1]\n")


@case(r'metadata.jsonl: line 1: label: expected a name or number, got \["a"\]')
def label_list(root: Path) -> Path:
    return described(root, "metadata.jsonl", '{"file_name": "0.png", "label": ["a"]}\n')


@case(r"metadata.jsonl: line 1: caption: expected text, got 3")
def number_as_caption(root: Path) -> Path:
    return described(root, "metadata.jsonl", '{"file_name": "0.png", "text": 3}\n')


@pytest.mark.parametrize(("maker", "message"), CASES, ids=[maker.__name__ for maker, _ in CASES])
def test_bad_input(tmp_path: Path, cache: Path, opened: Open, maker: Maker, message: str) -> None:
    source = maker(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        opened(source)
    assert caught.value.exit_code == 4
    assert not (cache / "data").exists() or not list((cache / "data").iterdir())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("builtin:fahsion", r"no 'builtin:fahsion'; did you mean builtin:fashion\?"),
        ("builtin:zzz", "there are builtin:fashion, builtin:emoji"),
        ("fashion-mnits", r"did you mean fashion-mnist\?"),
        ("", "no such file or folder: ''"),
        ("a\0b", "data.source: "),
        ("x" * 5000, "data.source: 'xxx"),
    ],
)
def test_bad_names(opened: Open, source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(source)


def test_fashion_mnist_that_is_not_installed(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idx, "FASHION_FOLDER", tmp_path / "none")
    with pytest.raises(DataError, match="apt install dataset-fashion-mnist"):
        opened("fashion-mnist")


def test_hub_that_cannot_be_loaded(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match=r"data.source: hf:.*nothing"):
        opened(f"hf:{tmp_path / 'nothing'}")


def test_hub_without_images(opened: Open, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"text": ["a", "b"]}).save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match="no column of images; the columns are text"):
        opened(f"hf:{tmp_path / 'saved'}")
