"""A certificate for the stub of DynamoDB, and bundles of roots that trust it besides what each stack trusts anyway."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

HOST: Final = "localhost"
_ROOT: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Root of the benchmarks")])
_MAY_SIGN: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def make(folder: Path) -> tuple[Path, Path]:
    """Write a root, and a certificate that it signed together with its key; return both files.

    Both keys are RSA of 2,048 bits, as those of DynamoDB's own chain are.
    """
    root_key, key = (rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for _ in range(2))
    by = root_key.public_key()
    identifiers = (
        x509.SubjectKeyIdentifier.from_public_key(by),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(by),
    )
    root = _builder(_ROOT, root_key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    root = root.add_extension(identifiers[0], critical=False).add_extension(_MAY_SIGN, critical=True)
    served = _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)]), key)
    served = served.add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
    served = served.add_extension(identifiers[1], critical=False)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    roots, certificate = folder / "root.pem", folder / "served.pem"
    roots.write_bytes(_signed(root, root_key))
    certificate.write_bytes(_signed(served, root_key) + secret)
    return roots, certificate


def _builder(name: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(_ROOT)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _signed(builder: x509.CertificateBuilder, by: rsa.RSAPrivateKey) -> bytes:
    return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def trusted(opt: Path, root: Path) -> Path:
    """Write the roots that a stack loads when it is deployed, and this one, into one file beside its layer.

    Ours has Amazon's roots alone. The others have the hundred and more that come with botocore, or with the system.
    """
    found = [*opt.glob("amazon-roots.pem"), *opt.glob("python/botocore/cacert.pem"), *_SYSTEMS]
    bundle = opt / "trusted.pem"
    bundle.write_bytes(next(path for path in found if path.exists()).read_bytes() + b"\n" + root.read_bytes())
    return bundle


_SYSTEMS: Final = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
