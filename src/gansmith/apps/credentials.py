"""Content credentials (C2PA): who says that an image is what it says. Needs c2pa-python (extra `provenance`).

An image is signed with a certificate and its key, both in one PEM file, that `GANSMITH_CREDENTIALS` names; what was
signed is checked against the certificates of authorities that whoever checks it trusts (C2PA 2.1, secs. 13 and 14).
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from gansmith.core.errors import ConfigError, MissingExtra
from gansmith.data.marks import SOURCE, Mark

VARIABLE = "GANSMITH_CREDENTIALS"
PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----\n?", re.DOTALL)
SILENT = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}}
TRACE = b"c2pa"
"""What the bytes of a file with credentials hold somewhere."""


@dataclass(frozen=True)
class Credentials:
    """What images are signed with.

    Attributes:
        chain: certificates in PEM, the signer's own first.
        key: the signer's private key in PEM.
        algorithm: of the signature, as C2PA calls it.
    """

    chain: bytes
    key: bytes
    algorithm: str

    @classmethod
    def read(cls, path: Path) -> Credentials:
        """From a PEM file.

        Raises:
            ConfigError: it cannot be read, or lacks a certificate or a key that can sign.
            MissingExtra: without the packages that sign.
        """
        need()
        try:
            blocks = list(PEM.finditer(path.read_text()))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{VARIABLE}: {path}: cannot be read: {error}") from error
        chain = "".join(block[0] for block in blocks if block[1] == "CERTIFICATE")
        keys = [block[0] for block in blocks if block[1].endswith("PRIVATE KEY")]
        if not chain or len(keys) != 1:
            raise ConfigError(f"{VARIABLE}: {path}: expected certificates, the signer's first, and one private key")
        return cls(chain.encode(), keys[0].encode(), algorithm_of(keys[0].encode(), path))

    def sign(self, content: bytes, kind: str, mark: Mark) -> bytes:
        """A file's content with credentials in it.

        Args:
            kind: of file, as Pillow calls it.

        Raises:
            ConfigError: what signs refuses the certificate or the key.
        """
        import c2pa

        action = {"action": "c2pa.created", "digitalSourceType": SOURCE, "parameters": {"run": mark.run}}
        manifest = {
            "claim_generator_info": [{"name": mark.maker}],
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
        }
        info = c2pa.C2paSignerInfo(self.algorithm.encode(), self.chain, self.key, None)
        signed = io.BytesIO()
        try:
            with (
                c2pa.Context.from_dict(SILENT) as context,
                c2pa.Signer.from_info(info) as signer,
                c2pa.Builder(manifest, context) as builder,
            ):
                builder.sign(signer, mime(kind), io.BytesIO(content), signed)
        except c2pa.C2paError as error:
            raise ConfigError(f"{VARIABLE}: cannot sign: {error}") from error
        return signed.getvalue()


def need() -> None:
    if not find_spec("c2pa"):
        raise MissingExtra.needs("content credentials", "provenance")


@cache
def credentials() -> Credentials | None:
    """Those that `GANSMITH_CREDENTIALS` names; None where it names none."""
    path = os.environ.get(VARIABLE)
    return Credentials.read(Path(path)) if path else None


def algorithm_of(key: bytes, path: Path) -> str:
    """The signature that a private key makes."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{VARIABLE}: {path}: the private key cannot be read, or is encrypted") from error
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return {"secp384r1": "es384", "secp521r1": "es512"}.get(private.curve.name, "es256")
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    raise ConfigError(f"{VARIABLE}: {path}: a key of this kind signs no images; take one on the curve P-256")


def mime(kind: str) -> str:
    return Image.MIME[kind]


@dataclass(frozen=True)
class Signed:
    """What a file's credentials come to.

    Attributes:
        by: whom the certificate names.
        is_valid: whether the content is what was signed, by the key of that certificate.
        is_trusted: whether an authority that is trusted vouches for the certificate; None where none was named.
        why: what is wrong, as C2PA calls it; empty where nothing is.
    """

    by: str
    is_valid: bool
    is_trusted: bool | None
    why: str


def check(path: Path, authorities: Sequence[Path]) -> Signed | None:
    """What a file's credentials come to; None where it has none.

    Args:
        authorities: files of certificates, in PEM, that are trusted.

    Raises:
        ConfigError: one of them cannot be read.
        MissingExtra: the file has credentials, and what reads them is not installed.
    """
    content = path.read_bytes()
    if TRACE not in content:
        return None
    need()
    import c2pa

    try:
        anchors = "".join(authority.read_text() for authority in authorities)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--trust: cannot be read: {error}") from error
    with Image.open(path) as picture:
        kind = str(picture.format)
    alone = {"remote_manifest_fetch": False, "ocsp_fetch": False}
    trust = {"verify": alone | {"verify_trust": bool(anchors)}} | (
        {"trust": {"user_anchors": anchors}} if anchors else {}
    )
    try:
        with (
            c2pa.Context.from_dict(trust) as context,
            c2pa.Reader(mime(kind), io.BytesIO(content), context=context) as reader,
        ):
            state, results, text = reader.get_validation_state(), reader.get_validation_results(), reader.json()
    except c2pa.C2paError as error:
        return None if "ManifestNotFound" in str(error) else Signed("", False, False, str(error))
    failures = [str(one["code"]) for one in ((results or {}).get("activeManifest") or {}).get("failure", [])]
    store = json.loads(text)
    signature = store["manifests"][store["active_manifest"]].get("signature_info") or {}
    by = str(signature.get("common_name") or signature.get("issuer") or "nobody")
    wrong = [code for code in failures if code != "signingCredential.untrusted"]
    trusted = state == "Trusted" if anchors else None
    return Signed(by, state != "Invalid" and not wrong, trusted, ", ".join(failures if anchors else wrong))
