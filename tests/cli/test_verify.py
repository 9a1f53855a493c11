"""Every image that a command writes says so, and `verify` believes no more than it should."""

from __future__ import annotations

import datetime
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gansmith
from gansmith.apps import credentials
from gansmith.data.marks import SOURCE, Mark, encoded, read


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """That of all tests, as if it had made nothing yet."""
    return shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("made.jsonl"))


@pytest.fixture
def image(run: Path, command: Callable[..., Any]) -> Path:
    """A sample, as a file."""
    assert command("sample", run, "-n", 4, "--out", "made").code == 0
    return Path("made/0.png")


def status(file: Path, **more: Any) -> str:
    return gansmith.verify(file, **more).status


def test_a_sample_is_ours(run: Path, image: Path, command: Callable[..., Any]) -> None:
    copy = shutil.copy(image, "copy.png")
    answer = command("verify", copy, "--json")
    assert answer.code == 0
    (found,) = json.loads(answer.out)
    assert (found["status"], found["is_synthetic"], found["run"]) == ("ours", True, gansmith.load(run).dir.mark.run)
    assert "dcgan" in found["maker"]
    assert status(image, run=run) == "ours"


def test_what_a_run_shows_while_it_trains_is_marked(run: Path) -> None:
    pictures = [*run.glob("samples/*.png"), *run.glob("film.webp")]
    assert pictures
    marks = [read(path).mark for path in pictures]
    assert {mark.run for mark in marks if mark} == {gansmith.load(run).dir.mark.run}
    assert None not in marks


def test_arrays_say_it_too(run: Path, command: Callable[..., Any]) -> None:
    assert command("sample", run, "-n", 4, "--out", "made.npz").code == 0
    with np.load("made.npz") as arrays:
        assert arrays["source"][0] == SOURCE
        assert arrays["images"].shape[0] == 4


def test_other_pixels_are_altered(image: Path) -> None:
    with Image.open(image) as shown:
        changed, packet = shown.convert("L"), shown.info["xmp"]
    changed.putpixel((0, 0), 255 - int(np.asarray(changed)[0, 0]))
    changed.save("changed.webp", xmp=packet, lossless=True)
    assert status(Path("changed.webp")) == "altered"


def test_what_lost_its_metadata_is_stripped_or_not_ours(run: Path, image: Path, command: Callable[..., Any]) -> None:
    with Image.open(image) as shown:
        Image.fromarray(np.asarray(shown)).save("bare.png")
    answer = command("verify", "bare.png")
    assert (answer.code, status(Path("bare.png"))) == (1, "not ours")
    assert "--run" in answer.out
    found = gansmith.verify("bare.png", run)
    assert found.status == "stripped"
    assert "0.png" in found.why
    Image.new("L", (16, 16), 7).save("other.png")
    assert status(Path("other.png"), run=run) == "not ours"


def test_no_mark_leaves_nothing_but_the_runs_memory(run: Path, command: Callable[..., Any]) -> None:
    assert command("sample", run, "-n", 1, "--out", "bare", "--no-mark").code == 0
    bare = Path("bare/0.png")
    assert not read(bare).is_synthetic
    (line,) = gansmith.load(run).dir.made().values()
    assert line["marked"] is False
    assert "--no-mark" in gansmith.verify(bare, run).why


def test_another_run_is_not_this_one(run: Path, image: Path) -> None:
    Path("stranger.png").write_bytes(encoded(Image.open(image), "PNG", Mark("feedbeef", "gansmith 9 gan"))[0])
    assert status(Path("stranger.png"), run=run) == "not ours"
    assert status(Path("stranger.png")) == "ours", "what a file says can be said by anybody"


def test_a_memory_cut_short_is_read_as_far_as_it_goes(run: Path, image: Path) -> None:
    with (run / "made.jsonl").open("a") as file:
        file.write('{"pixels": "12')
    assert len(gansmith.load(run).dir.made()) == 4


def test_what_is_no_image_is_named(command: Callable[..., Any]) -> None:
    Path("text.png").write_text("no")
    answer = command("verify", "text.png")
    assert answer.code == 4
    assert "text.png" in answer.err
    assert command("verify", "nowhere.png").code == 4


# ---- the watermark


def test_with_a_watermark_what_lost_its_metadata_and_its_pixels_is_known(
    run: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for asked, expected in (("1", "stripped"), ("0", "not ours")):
        monkeypatch.setenv("GANSMITH_WATERMARK", asked)
        assert command("sample", run, "-n", 64, "--out", "sheet.png", "--overwrite").code == 0
        assert status(Path("sheet.png")) == "ours"
        with Image.open("sheet.png") as sheet:
            sheet.convert("RGB").save("sent.jpg", quality=75)
        found = gansmith.verify("sent.jpg")
        assert (found.status, found.is_synthetic) == (expected, asked == "1")
        assert ("watermark" in found.why) is (asked == "1")


def test_what_has_no_room_for_a_watermark_is_said(
    run: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GANSMITH_WATERMARK", "1")
    assert command("sample", run, "-n", 3, "--out", "small").code == 0
    assert "without the watermark that GANSMITH_WATERMARK asks for: 3, smaller than 128" in caplog.text


def test_no_mark_is_no_watermark(run: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSMITH_WATERMARK", "1")
    assert command("sample", run, "-n", 64, "--out", "sheet.png", "--no-mark").code == 0
    assert status(Path("sheet.png")) == "not ours"


# ---- signatures


Pem = tuple[bytes, bytes]


def certified(name: str, by: Any = None) -> tuple[Any, Any]:
    """A key and its certificate, an authority's own, or of somebody whom one vouches for."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    parts = ((NameOID.COMMON_NAME, name), (NameOID.ORGANIZATION_NAME, name), (NameOID.COUNTRY_NAME, "DE"))
    subject = x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])
    signer, issuer = (key, subject) if by is None else (by[0], by[1].subject)
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    is_authority = by is None
    usage |= {"digital_signature": not is_authority, "key_cert_sign": is_authority, "crl_sign": is_authority}
    made = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not is_authority:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return key, made.sign(signer, hashes.SHA256())


@pytest.fixture
def signing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Has images signed in the name of "Ann Lee", vouched for by a made-up authority, whose certificate it gives."""
    pytest.importorskip("c2pa")
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    def signing(authority: str) -> Path:
        root = certified(authority)
        key, certificate = certified("Ann Lee", root)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = certificate.public_bytes(Encoding.PEM) + root[1].public_bytes(Encoding.PEM)
        (tmp_path / f"{authority}-signer.pem").write_bytes(chain + private)
        (tmp_path / f"{authority}.pem").write_bytes(root[1].public_bytes(Encoding.PEM))
        monkeypatch.setenv(credentials.VARIABLE, str(tmp_path / f"{authority}-signer.pem"))
        credentials.credentials.cache_clear()
        return tmp_path / f"{authority}.pem"

    yield signing
    credentials.credentials.cache_clear()


def test_a_signature_is_believed_where_an_authority_vouches(
    run: Path, signing: Callable[[str], Path], command: Callable[..., Any]
) -> None:
    authority, forger = signing("good"), None
    assert command("sample", run, "-n", 1, "--out", "signed").code == 0
    forger = signing("bad")
    assert command("sample", run, "-n", 1, "--out", "forged").code == 0
    signed, forged = Path("signed/0.png"), Path("forged/0.png")
    found = gansmith.verify(signed, trust=[authority])
    assert (found.status, found.signed_by) == ("ours", "Ann Lee")
    assert gansmith.verify(forged, trust=[authority]).status == "forged", "the same name, by an authority made up"
    assert gansmith.verify(forged, trust=[authority, forger]).status == "ours"
    answer = command("verify", signed)
    assert answer.code == 0
    assert "--trust" in answer.out
    assert command("verify", forged, "--trust", authority).code == 1


def summed(png: bytes) -> bytes:
    """A PNG with the check sums that its chunks should have."""
    parts, place = [png[:8]], 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        body = png[place + 4 : place + 8 + length]
        parts.append(struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body)))
        place += 12 + length
    return b"".join(parts)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif"])
def test_what_was_changed_after_it_was_signed_is_forged(
    kind: str, run: Path, signing: Callable[[str], Path], tmp_path: Path
) -> None:
    from gansmith.apps.made import Maker

    authority, path = signing("good"), tmp_path / f"image.{kind}"
    shown = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    with Maker(gansmith.load(run).dir) as maker:
        maker.write(shown, path, Image.registered_extensions()[f".{kind}"])
    assert status(path, trust=[authority]) == "ours"
    content = path.read_bytes()
    place = content.index(b"gansmith 0") + len(b"gansmith ")
    changed = content[:place] + b"9" + content[place + 1 :]
    path.write_bytes(summed(changed) if kind == "png" else changed)
    assert status(path, trust=[authority]) == "forged"
    assert status(path) == "forged", "that needs no authority"


def test_credentials_that_cannot_sign_are_refused_at_once(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    pytest.importorskip("c2pa")
    (tmp_path / "no.pem").write_text("nothing")
    for path in (tmp_path / "no.pem", tmp_path / "nowhere.pem"):
        monkeypatch.setenv(credentials.VARIABLE, str(path))
        credentials.credentials.cache_clear()
        answer = command("sample", run, "-n", 1, "--out", "signed")
        assert answer.code == 2
        assert credentials.VARIABLE in answer.err
    assert not Path("signed").exists()
    credentials.credentials.cache_clear()
