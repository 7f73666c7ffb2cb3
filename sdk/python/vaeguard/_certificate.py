"""The certificate of a plugin, made for one start."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import subprocess
import tempfile
from typing import Tuple

_EXTENSIONS = (
    "subjectAltName=DNS:localhost",
    "extendedKeyUsage=clientAuth,serverAuth",
    "keyUsage=critical,digitalSignature,keyEncipherment,keyAgreement,keyCertSign",
)


def certificate() -> Tuple[bytes, bytes]:
    """A key and a self-signed certificate for localhost, PEM.

    Made by the package cryptography or the program openssl; ends the program if neither is there.
    """
    with contextlib.suppress(ImportError):
        return by_cryptography()
    if not shutil.which("openssl"):
        raise SystemExit("vaeguard: mutual TLS needs the Python package cryptography or the program openssl; install one of them")
    return by_openssl()


def by_openssl() -> Tuple[bytes, bytes]:
    """A key and a certificate by the program openssl."""
    with tempfile.TemporaryDirectory() as d:
        key, cert = os.path.join(d, "k.pem"), os.path.join(d, "c.pem")
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", "3650", "-subj", "/O=HashiCorp/CN=localhost", "-keyout", key, "-out", cert]
        for extension in _EXTENSIONS:
            command += ["-addext", extension]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(key, "rb") as f, open(cert, "rb") as g:
            return f.read(), g.read()


def by_cryptography() -> Tuple[bytes, bytes]:
    """A key and a certificate by the package cryptography. Raises ImportError without it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "HashiCorp"), x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(seconds=30))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, cert.public_bytes(serialization.Encoding.PEM)
