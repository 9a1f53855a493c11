"""Runs used on files: every mode in and out, names, places, what is refused before anything is computed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from torch import Tensor, nn

from gansmith.apps import files
from gansmith.apps import made as making
from gansmith.apps.files import (
    apply,
    draw_images,
    inputs,
    name_of,
    opened,
    save,
    translate_array,
    unknown_words,
)
from gansmith.apps.made import Maker
from gansmith.apps.run import Run
from gansmith.apps.tiles import GIB
from gansmith.core.errors import ConfigError, DataError, GansmithError
from gansmith.core.game import Reader, Request, Translator
from gansmith.data import marks
from gansmith.data.marks import Mark
from gansmith.training.rundir import RunDir
from gansmith.training.runtime import Runtime


def negative(nets: Any, images: Tensor) -> Tensor:
    return -images


def doubled(nets: Any, images: Tensor) -> Tensor:
    return images.repeat_interleave(2, 2).repeat_interleave(2, 3)


def red_of_grey(nets: Any, images: Tensor) -> Tensor:
    """Grey to red: the level in the first channel, the others black."""
    return torch.cat([images, torch.full_like(images, -1), torch.full_like(images, -1)], 1)


def no_columns(nets: Any, images: Tensor, targets: Tensor | None) -> tuple[Tensor, ...]:
    raise AssertionError


HERE = Path("runs/mine")
PLACE = cast(RunDir, SimpleNamespace(path=HERE, mark=Mark("0123456789abcdef", "gansmith")))


def run_of(translator: Translator | None = None, family: str = "dcgan", **parts: Any) -> Run:
    """What stands for a trained run."""
    nets = nn.ModuleDict({"G": nn.Conv2d(1, 1, 1)})

    @contextmanager
    def evaluated() -> Iterator[Any]:
        yield nets

    game = SimpleNamespace(nets=nets, translator=translator, reader=parts.pop("reader", None))
    runtime = Runtime(torch.device("cpu"), autocasts=False)
    player = SimpleNamespace(game=game, runtime=runtime, evaluated=evaluated, **parts)
    config, spec = SimpleNamespace(family=family), SimpleNamespace(words=("a", "red", "circle"))
    return cast(Run, SimpleNamespace(path=HERE, dir=PLACE, config=config, spec=spec, player=player))


def enlarging(channels: int, scale: int = 2) -> Run:
    """A run that doubles pixels; or, at scale 1, turns light to dark."""
    way = doubled if scale == 2 else negative
    return run_of(Translator({"image": way}, {"image": (channels, channels)}, no_columns, scale), "srgan")


def translating() -> Run:
    """A run whose domain B is the negative of A; between colours."""
    ways = {"B": negative, "A": doubled}
    return run_of(Translator(ways, {"B": (3, 3), "A": (3, 3)}, no_columns, multiple=4), "cyclegan")


def colouring() -> Run:
    return run_of(Translator({"B": red_of_grey}, {"B": (1, 3)}, no_columns), "pix2pix")


def painted(path: Path, mode: str = "RGB", size: tuple[int, int] = (20, 16), **options: Any) -> np.ndarray:
    """An image of noise in a file, and its array."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], bands), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.frombytes(mode, size, pixels.tobytes()).save(path, **options)
    return pixels.squeeze()


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ---- modes


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_whatever_is_enlarged_stays_what_it_was(mode: str, channels: int) -> None:
    """Of every mode that Pillow has, by nets of any number of channels: grey or colours, with alpha or without."""
    with Image.new(mode, (5, 4)) as image:
        image.save("in.tif" if mode != "PA" else "in.png") if mode != "PA" else image.convert("RGBA").save("in.tif")
    (written,) = apply(enlarging(channels), "upscale", "in.tif", Path("out"))
    grey = mode in ("1", "L", "LA", "I;16", "I", "F")
    alpha = mode in ("LA", "PA", "RGBA")
    with Image.open(written) as made:
        assert (made.mode, made.size) == (("L" if grey else "RGB") + "A" * alpha, (10, 8))


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("L", 3), ("L", 4), ("RGB", 3), ("RGB", 4), ("RGBA", 4)])
def test_pixels_go_through_as_they_are(mode: str, channels: int) -> None:
    pixels = painted(Path("in.png"), mode)
    apply(enlarging(channels), "upscale", "in.png", Path("out.png"))
    assert np.array_equal(read(Path("out.png")), pixels.repeat(2, 0).repeat(2, 1))


def test_grey_nets_make_the_luma_of_coloured_images() -> None:
    """Turned to its negative at full size, the luma changes and the chroma does not."""
    painted(Path("in.png"), size=(40, 30))
    apply(enlarging(1, scale=1), "restore", "in.png", Path("out.png"))
    with Image.open("in.png") as before, Image.open("out.png") as after:
        luma, *chroma = before.convert("YCbCr").split()
        merged = Image.merge("YCbCr", [Image.fromarray(255 - np.asarray(luma)), *chroma]).convert("RGB")
        assert np.array_equal(np.asarray(after), np.asarray(merged))


def test_chroma_is_interpolated() -> None:
    """A red and a blue half, enlarged: each stays its colour, and the border between them becomes soft."""
    half = Image.new("RGB", (16, 8), "red")
    half.paste("blue", (8, 0, 16, 8))
    half.save("in.png")
    apply(enlarging(1), "upscale", "in.png", Path("out.png"))
    made = read(Path("out.png")).astype(int)
    assert np.abs(made[:, 2] - [254, 0, 0]).max() <= 2
    assert np.abs(made[:, -3] - [0, 0, 254]).max() <= 2
    assert 40 < made[4, 15, 0] < 250


def test_alpha_is_enlarged_beside_the_colours() -> None:
    pixels = painted(Path("in.png"), "RGBA")
    apply(enlarging(3), "upscale", "in.png", Path("out.png"))
    made = read(Path("out.png"))
    seen = pixels[..., 3] > 0
    alpha = Image.fromarray(np.ascontiguousarray(pixels[..., 3])).resize((40, 32), Image.Resampling.LANCZOS)
    assert np.array_equal(made[..., 3], np.asarray(alpha))
    big = seen.repeat(2, 0).repeat(2, 1)
    assert np.array_equal(made[..., :3][big], pixels[..., :3].repeat(2, 0).repeat(2, 1)[big])


def test_what_cannot_be_seen_is_white() -> None:
    """It may be anything, and nets have seen white there; what can be seen, a little or more, stays as it is."""
    pixels = np.full((1, 3, 4), 7, np.uint8)
    pixels[0, :, 3] = [0, 1, 255]
    Image.fromarray(pixels).save("in.png")
    picture = opened(Path("in.png"))
    assert picture.pixels(3)[0].tolist() == [[255] * 3, [7] * 3, [7] * 3]
    assert np.array_equal(picture.pixels(4), pixels)
    assert picture.alpha is not None
    assert np.asarray(picture.alpha).tolist() == [[0, 1, 255]]


def test_a_palette_with_transparency() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 9, 9, 255, 0, 0])
    palette.putpixel((1, 0), 1)
    palette.save("in.gif", transparency=0)
    (written,) = apply(translating(), "translate", "in.gif", Path("out"))
    assert written == Path("out/in.png"), "a GIF has 256 colours at most"
    assert read(written).tolist() == [[[0, 0, 0, 0], [0, 255, 255, 255]]]


def test_sixteen_bits_become_eight() -> None:
    Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16)).save("in.png")
    apply(enlarging(1, scale=1), "restore", "in.png", Path("out.png"))
    assert read(Path("out.png")).tolist() == [[255, 254, 127, 0]]


def test_of_an_animation_the_first_image() -> None:
    frames = [Image.new("L", (4, 4), level) for level in (10, 200)]
    frames[0].save("in.webp", save_all=True, append_images=frames[1:], lossless=True)
    (written,) = apply(enlarging(3, scale=1), "restore", "in.webp", Path("out"))
    with Image.open(written) as made:
        assert np.abs(np.asarray(made.convert("L")).astype(int) - 245).max() <= 1
        assert getattr(made, "n_frames", 1) == 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_images_are_turned_upright_once(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.new("L", (40, 24), 255)
    picture.paste(0, (0, 0, 20, 12))
    picture.save("in.jpg", exif=exif, quality=100)
    (written,) = apply(enlarging(1), "upscale", "in.jpg", Path("out"))
    turned = {
        1: picture,
        3: picture.rotate(180),
        6: picture.rotate(-90, expand=True),
        8: picture.rotate(90, expand=True),
    }
    with Image.open(written) as made:
        assert 0x0112 not in made.getexif()
        expected = np.asarray(turned[orientation]).repeat(2, 0).repeat(2, 1).astype(int)
        assert made.size == expected.shape[::-1]
        assert np.abs(np.asarray(made) - expected).mean() < 4


def test_translated_images_are_as_the_nets_have_them() -> None:
    """Of colours comes grey, and red of that; and transparency stays beside it."""
    pixels = painted(Path("in.png"), "RGBA")
    pixels[..., 3] |= 1
    Image.fromarray(pixels).save("in.png")
    apply(colouring(), "translate", "in.png", Path("out.png"))
    made = read(Path("out.png"))
    grey = np.asarray(Image.fromarray(pixels).convert("RGB").convert("L"))
    assert np.array_equal(made[..., 0], grey)
    assert (made[..., 1:3] == 0).all()
    assert np.array_equal(made[..., 3], pixels[..., 3])


def test_nets_that_know_of_transparency_make_it() -> None:
    def holes(nets: Any, images: Tensor) -> Tensor:
        return torch.cat([images, torch.full_like(images[:, :1], -1)], 1)

    run = run_of(Translator({"B": holes}, {"B": (3, 4)}, no_columns), "pix2pix")
    painted(Path("in.jpg"))
    (written,) = apply(run, "translate", "in.jpg", Path("out"))
    assert written == Path("out/in.png"), "a JPEG holds no transparency"
    assert (read(written)[..., 3] == 0).all()
    with pytest.raises(ConfigError, match=r"out\.jpg: JPEG cannot hold RGBA of 20 pixels a side; choose a \.png"):
        apply(run, "translate", "in.jpg", Path("out.jpg"))


# ---- formats


HELD = [
    (suffix, mode)
    for suffix, kind in sorted(Image.registered_extensions().items())
    for mode in files.HOLDS.get(kind, ())
    if kind in Image.SAVE
]


@pytest.mark.parametrize(("suffix", "mode"), HELD)
def test_every_format_holds_what_it_is_said_to(suffix: str, mode: str) -> None:
    y, x = np.mgrid[:32, :48]
    pixels = np.uint8(np.stack([4 * x, 5 * y, 255 - 4 * x, 128 + x], 2))
    picture = Image.fromarray(pixels).convert(mode)
    save(picture, Path("out" + suffix), Maker(PLACE, marked=False))
    with Image.open("out" + suffix) as made:
        assert made.has_transparency_data == mode.endswith("A")
        difference = np.asarray(made.convert(mode)).astype(int) - np.asarray(picture)
    assert np.abs(difference).mean() < 3


def test_the_format_stays_where_it_can() -> None:
    for name in ("a.jpg", "b.webp", "c.TIFF", "d.bmp", "e.ppm", "f.gif", "g.ico", "h"):
        kind = {"h": "PNG"}.get(name)
        painted(Path("in", name), **({"format": kind} if kind else {}))
    apply(translating(), "translate", "in", Path("out"), marked=False)
    names = sorted(path.name for path in Path("out").iterdir())
    assert names == ["a.jpg", "b.webp", "c.TIFF", "d.bmp", "e.ppm", "f.png", "g.png"]
    for path in Path("out").iterdir():
        with Image.open(path) as made:
            assert made.format == files.format_of(path)
            assert not marks.read(path).is_synthetic
    apply(translating(), "translate", "in/h", Path("single"))
    assert [path.name for path in Path("single").iterdir()] == ["h.png"]


def test_what_is_made_says_so_in_a_format_that_can() -> None:
    for name in ("a.jpg", "d.bmp"):
        painted(Path("in", name))
    apply(translating(), "translate", "in", Path("out"))
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.jpg", "d.png"]
    assert all(marks.read(path).mark for path in Path("out").iterdir())
    with pytest.raises(ConfigError, match=r"BMP cannot say .* --no-mark"):
        apply(translating(), "translate", "in/a.jpg", Path("single.bmp"))


def test_a_webp_that_grows_too_long_for_its_format() -> None:
    painted(Path("in.webp"), size=(8200, 1))
    assert apply(enlarging(3), "upscale", "in.webp", Path("out")) == [Path("out/in.png")]


def test_profiles_are_kept_where_they_fit() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for mode, suffix in (("RGB", "jpg"), ("RGBA", "png"), ("L", "png"), ("CMYK", "tif")):
        painted(Path(f"in/{mode}.{suffix}"), mode, icc_profile=profile)
    apply(translating(), "translate", "in", Path("out"))
    apply(enlarging(3), "upscale", "in", Path("big"))
    for path in (*Path("out").iterdir(), *Path("big").iterdir()):
        with Image.open(path) as made:
            there = made.info.get("icc_profile")
            assert there == (None if str(path) == "big/L.png" else profile), "grey is not seen by a profile of colours"
    grey = b"\0" * 16 + b"GRAY" + b"\0" * 108
    save(Image.new("LA", (2, 2)), Path("grey.png"), Maker(PLACE), grey)
    save(Image.new("RGB", (2, 2)), Path("red.png"), Maker(PLACE), grey)
    with Image.open("grey.png") as made, Image.open("red.png") as other:
        assert made.info["icc_profile"] == grey
        assert "icc_profile" not in other.info


def test_jpegs_are_good() -> None:
    painted(Path("in.jpg"))
    apply(translating(), "translate", "in.jpg", Path("out"))
    reference = io.BytesIO()
    Image.new("RGB", (8, 8)).save(reference, "JPEG", quality=95)
    with Image.open("out/in.jpg") as made, Image.open(reference) as ninety_five:
        assert made.quantization == ninety_five.quantization  # type: ignore[attr-defined]


def test_what_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(making, "write_atomic", full)
    with pytest.raises(GansmithError, match=r"x\.png: cannot be written: .*No space left on device"):
        save(Image.new("L", (2, 2)), Path("x.png"), Maker(PLACE))


# ---- which files


def test_inputs() -> None:
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "sub/c.png", ".git/d.png", "sub/e.csv", "x[1].png"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    assert inputs("b.png") == [Path("b.png")]
    assert inputs("x[1].png") == [Path("x[1].png")]
    assert inputs("notes.txt") == [Path("notes.txt")], "whoever names a file means it"
    assert inputs(".") == [Path("a.JPG"), Path("b.png"), Path("sub/c.png"), Path("x[1].png")]
    assert inputs("*") == [Path("a.JPG"), Path("b.png"), Path("x[1].png")]
    assert inputs("**/*.png") == [Path("b.png"), Path("sub/c.png"), Path("x[1].png")]
    assert inputs("s*/?.png") == [Path("sub/c.png")]
    Path("empty").mkdir()
    for pattern, message in (
        ("absent", "absent: no such file or folder"),
        ("*.gif", "no image is called so"),
        ("empty", "empty: no images in this folder"),
    ):
        with pytest.raises(DataError, match=message):
            inputs(pattern)


def test_places_stay_as_they_were() -> None:
    for name in ("in/a.png", "in/deep/er/a.png"):
        painted(Path(name))
    run = translating()
    assert apply(run, "translate", "in", Path("out")) == [Path("out/a.png"), Path("out/deep/er/a.png")]
    assert apply(run, "translate", "in/**/a.png", Path("glob")) == [Path("glob/a.png"), Path("glob/deep/er/a.png")]
    assert apply(run, "translate", "in/deep/e*/*.png", Path("e")) == [Path("e/er/a.png")]
    assert apply(run, "translate", "in/a.png", Path("new/one.jpg")) == [Path("new/one.jpg")]
    assert apply(run, "translate", "in/a.png", Path("folder")) == [Path("folder/a.png")]
    Path("odd.png").mkdir()
    assert apply(run, "translate", "in/a.png", Path("odd.png")) == [Path("odd.png/a.png")]


def test_two_that_would_have_one_name_get_two() -> None:
    for name in ("a.gif", "a.png", "a.jpg", "b.gif"):
        painted(Path("in", name))
    written = apply(translating(), "translate", "in", Path("out"))
    assert {path.name for path in written} == {"a.gif.png", "a.jpg", "a.png", "b.png"}
    assert np.array_equal(read(Path("out/a.png")), 255 - read(Path("in/a.png")))
    painted(Path("in/a.gif.png"))
    with pytest.raises(ConfigError, match=r"in/a\.gif, in/a\.gif\.png: would all become again/a\.gif\.png; rename"):
        apply(translating(), "translate", "in", Path("again"))
    assert not Path("again").exists()


def test_many_images_need_a_folder() -> None:
    for name in ("in/a.png", "in/b.png"):
        painted(Path(name))
    with pytest.raises(ConfigError, match=r"out\.png: expected a folder for 2 images"):
        apply(translating(), "translate", "in", Path("out.png"))
    Path("file").touch()
    with pytest.raises(ConfigError, match="file: is a file; expected a folder"):
        apply(translating(), "translate", "in", Path("file/out"))


# ---- what is there stays


def test_nothing_is_overwritten_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("in/a.png", "in/b.png", "in/c.png"):
        painted(Path(name))
    Path("out/c.png").mkdir(parents=True)
    Path("out/b.png").write_text("precious")
    with pytest.raises(DataError, match="2 of 3 images failed") as found:
        apply(translating(), "translate", "in", Path("out"))
    assert found.value.exit_code == 4
    assert Path("out/b.png").read_text() == "precious"
    assert Path("out/a.png").exists()
    told = capsys.readouterr().err
    assert "in/b.png: out/b.png is there already; --overwrite replaces it" in told
    assert "in/c.png: out/c.png is there already\n" in told
    with pytest.raises(DataError, match="1 of 3 images failed"):
        apply(translating(), "translate", "in", Path("out"), overwrite=True)
    assert np.array_equal(read(Path("out/b.png")), 255 - read(Path("in/b.png")))


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("pattern", "out"), [("in", "in"), ("in", "in/../in"), ("in", "link"), ("in/a.png", "in"), ("in/a.png", "in/a.png")]
)
def test_what_is_read_is_never_overwritten(pattern: str, out: str, overwrite: bool) -> None:
    pixels = painted(Path("in/a.png"))
    Path("link").symlink_to("in")
    with pytest.raises(ConfigError, match=r"a\.png: is an image to be read; choose another OUT"):
        apply(translating(), "translate", pattern, Path(out), overwrite=overwrite)
    assert np.array_equal(read(Path("in/a.png")), pixels)


def test_results_inside_the_folder_are_not_read_again() -> None:
    painted(Path("in/a.png"))
    run = translating()
    for _ in range(2):
        assert apply(run, "translate", "in", Path("in/out"), overwrite=True) == [Path("in/out/a.png")]
    Path("in/a.png").unlink()
    with pytest.raises(DataError, match="in: no images but those in in/out"):
        apply(run, "translate", "in", Path("in/out"), overwrite=True)


# ---- one bad image does not spoil the rest


def test_bad_files_are_named_and_the_rest_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("in/a.png", "in/d.png"):
        painted(Path(name))
    Path("in/b.png").write_bytes(b"no picture")
    Path("in/c.png").write_bytes(Path("in/a.png").read_bytes()[:300])
    with pytest.raises(DataError, match="2 of 4 images failed"):
        apply(translating(), "translate", "in", Path("out"))
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "d.png"]
    told = capsys.readouterr().err
    assert "in/b.png: cannot identify image file" in told
    assert "in/c.png: " in told
    assert "Traceback" not in told


def test_nan_is_a_failure_of_its_image(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(nets: Any, images: Tensor) -> Tensor:
        return (images + 1) / (images.amin() + 1)

    run = run_of(Translator({"B": broken}, {"B": (1, 1)}, no_columns), "pix2pix")
    Image.new("L", (20, 20), 0).save("black.png")
    with pytest.raises(DataError):
        apply(run, "translate", "black.png", Path("out"))
    assert "black.png: the network makes NaN of it" in capsys.readouterr().err
    assert not Path("out").exists()


def test_no_bar_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    painted(Path("a.png"))
    apply(translating(), "translate", "a.png", Path("out"))
    assert capsys.readouterr() == ("", "")


def test_a_bar_where_somebody_does(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    for name in ("in/a.png", "in/b.png"):
        painted(Path(name))
    Path("in/c.png").touch()
    with pytest.raises(DataError):
        apply(translating(), "translate", "in", Path("out"))
    assert "translate" in screen.getvalue()
    assert "100%" in screen.getvalue()


# ---- what a run is for


@pytest.mark.parametrize(
    ("make", "verb", "message"),
    [
        (
            run_of,
            "translate",
            "dcgan makes no images of images; train cyclegan or pix2pix to translate, srgan to upscale",
        ),
        (
            translating,
            "upscale",
            "cyclegan cannot upscale: give 'gansmith translate runs/mine IN OUT', or train srgan$",
        ),
        (colouring, "restore", "pix2pix cannot restore: give 'gansmith translate .*, or train srgan with --scale 1"),
        (
            lambda: enlarging(3),
            "translate",
            "srgan cannot translate: give 'gansmith upscale .*train cyclegan or pix2pix",
        ),
        (lambda: enlarging(3), "restore", "give 'gansmith upscale .*, or train srgan with --scale 1"),
        (lambda: enlarging(3, scale=1), "upscale", "give 'gansmith restore"),
    ],
)
def test_what_a_run_is_not_for(make: Callable[[], Run], verb: files.Verb, message: str) -> None:
    painted(Path("a.png"))
    with pytest.raises(ConfigError, match=message):
        apply(make(), verb, "a.png", Path("out"))


def test_either_way() -> None:
    pixels = painted(Path("a.png"), size=(20, 16))
    run = translating()
    apply(run, "translate", "a.png", Path("default.png"))
    apply(run, "translate", "a.png", Path("b.png"), to="B")
    assert np.array_equal(read(Path("default.png")), 255 - pixels)
    assert np.array_equal(read(Path("b.png")), 255 - pixels)
    apply(run, "translate", "a.png", Path("a2.png"), to="A")
    assert np.array_equal(read(Path("a2.png")), pixels.repeat(2, 0).repeat(2, 1)[:16, :20])
    with pytest.raises(ConfigError, match="no way is called 'C': there are B, A"):
        apply(run, "translate", "a.png", Path("c.png"), to="C")
    with pytest.raises(ConfigError, match="no way is called 'A': there are B"):
        apply(colouring(), "translate", "a.png", Path("c.png"), to="A")


# ---- memory


@pytest.mark.parametrize(
    ("gib", "message"),
    [
        (0, "expected more than 0 GiB, got 0"),
        (-1, "got -1"),
        (float("nan"), "got nan"),
        (0.5, r"alone take 0\.7 GiB, got 0\.5; try 4"),
    ],
)
def test_no_memory(gib: float, message: str) -> None:
    painted(Path("a.png"))
    with pytest.raises(ConfigError, match=f"--max-memory: .*{message}"):
        apply(translating(), "translate", "a.png", Path("out"), max_memory=gib)
    assert not Path("out").exists()


def test_an_image_that_is_too_large_fails_and_a_small_one_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    painted(Path("in/large.png"), "L", size=(1500, 1400))
    painted(Path("in/small.png"), "L")
    run = enlarging(1)
    with pytest.raises(DataError, match="1 of 2 images failed"):
        apply(run, "upscale", "in", Path("out"), max_memory=0.705)
    assert [path.name for path in Path("out").iterdir()] == ["small.png"]
    told = capsys.readouterr().err
    assert "in/large.png: --max-memory: this image needs 0." in told
    needed = float(told.split("needs ")[1].split()[0])
    apply(run, "upscale", "in/large.png", Path("out"), max_memory=needed)
    assert np.array_equal(read(Path("out/large.png")), read(Path("in/large.png")).repeat(2, 0).repeat(2, 1))


# ---- arrays


def test_arrays() -> None:
    pixels = painted(Path("a.png"), size=(21, 19))
    assert np.array_equal(translate_array(translating(), pixels), 255 - pixels)
    for gib in (None, 1.0):
        assert translate_array(enlarging(3), pixels, max_memory=gib).shape == (38, 42, 3)
    with pytest.raises(ConfigError, match=r"--max-memory: .* got 0\.1"):
        translate_array(enlarging(3), pixels, max_memory=0.1)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1), (0, 4, 3), (1, 4, 4, 3)])
def test_other_arrays_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"image: expected uint8 \(H, W, 3\), got uint8 \("):
        translate_array(translating(), np.zeros(shape, np.uint8))
    with pytest.raises(ConfigError, match="got float32"):
        translate_array(translating(), np.zeros((4, 4, 3), np.float32))


# ---- text to images


def drawing() -> Run:
    """A run that draws how many characters were read, and the seed."""
    reader = Reader("length", lambda texts: torch.tensor([len(text) for text in texts]))

    def sample(n: int, seed: int, request: Request) -> Tensor:
        assert request.texts is not None
        levels = torch.stack([request.texts, torch.full_like(request.texts, seed), torch.arange(n)], 1)
        return levels.to(torch.uint8)[:, None, None].expand(n, 2, 2, 3)

    return run_of(family="stackgan", reader=reader, sample=sample)


def test_drawing() -> None:
    images = draw_images(drawing(), "a red circle", 3, 5)
    assert images.dtype == np.uint8
    assert images.shape == (3, 2, 2, 3)
    assert images[:, 0, 0].tolist() == [[12, 5, 0], [12, 5, 1], [12, 5, 2]]


@pytest.mark.parametrize(
    ("text", "n", "seed", "message"),
    [
        ("", 1, 0, "text: expected words, got ''"),
        (" !\n", 1, 0, r"text: expected words, got ' !\\n'"),
        ("a", 0, 0, "number of images: expected at least 1, got 0"),
        ("a", 1, -1, "seed: expected at least 0, got -1"),
    ],
)
def test_nothing_to_draw(text: str, n: int, seed: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        draw_images(drawing(), text, n, seed)


def test_a_run_that_does_not_read() -> None:
    with pytest.raises(ConfigError, match="runs/mine: dcgan does not draw what is said; train stackgan"):
        draw_images(run_of(), "a red circle")


def test_words_that_are_new() -> None:
    assert unknown_words(drawing(), "A RED circle") == []
    assert unknown_words(drawing(), "A blue, blue circle of ink") == ["blue", "of", "ink"]


def test_texts_as_names() -> None:
    assert name_of("A red/circle: it's ../big!") == "a-red-circle-it-s-big"
    assert name_of("élan 日本") == "élan-日本"
    assert name_of("word " * 50) == "-".join(["word"] * 8)
    assert name_of("?!") == "text"
    assert GIB == 2**30
