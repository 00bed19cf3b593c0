"""A Chroma server that speaks TLS with a certificate of the user's own authority."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from front import Front, front
from stores import chroma_server

from minilm_retrieval.errors import StoreError
from minilm_retrieval.store import connect

x509 = pytest.importorskip("cryptography.x509")


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for this machine that signs itself, and its key."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an authority of one's own")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) -> Iterator[Front]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with chroma_server(tmp_path_factory.mktemp("server")) as port, front(port, context) as server:
        yield server


def test_an_authority_of_ones_own(
    secure: Front, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    client = connect(host="127.0.0.1", port=secure.port, ssl=True)
    client.create_collection("notes", embedding_function=None)
    assert [collection.name for collection in client.list_collections()] == ["notes"]


def test_an_unknown_certificate_is_refused_at_once(secure: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(StoreError, match=r"CERTIFICATE_VERIFY_FAILED.*SSL_CERT_FILE names"):
        connect(host="127.0.0.1", port=secure.port, ssl=True)


def test_a_certificate_that_is_no_longer_known_is_not_tried_again(
    secure: Front, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from minilm_retrieval.store.retrying import RetryingClient
    from minilm_retrieval.store.server import NoAnswerError, Patience

    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(NoAnswerError, match=r"no answer to 1 try .*CERTIFICATE_VERIFY_FAILED"):
        RetryingClient(Patience(5, 60)).get(f"https://127.0.0.1:{secure.port}/api/v2/heartbeat")
