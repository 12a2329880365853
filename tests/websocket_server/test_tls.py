"""The relay behind gunicorn's own TLS, as `python3 run.py --https` starts it."""

from __future__ import annotations

import datetime
import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.websocket_server.conftest import environment_of
from tests.websocket_server.page import JPEG, Page, Signer
from tests.websocket_server.rawsocket import RawSocket
from tests.websocket_server.servers import PredictionServer, RelayServer, wait_until

pytestmark = pytest.mark.slow


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-made certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    unencrypted = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(pem, pkcs8, unencrypted))
    return certificate_file, key_file


def test_frames_and_close_codes_over_tls(signer: Signer, predictor: PredictionServer, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    environment = environment_of(signer, predictor, idle_seconds=3, stats_seconds=0.2, request_seconds=3)
    options = ("--certfile", str(certificate), "--keyfile", str(key))
    relay = RelayServer(environment, tmp_path / "relay.log", options=options)
    relay.start()
    try:
        context = ssl.create_default_context(cafile=str(certificate))
        wait_until(lambda: "is ready" in (tmp_path / "relay.log").read_text(), what="readiness")
        with Page(f"wss://127.0.0.1:{relay.port}/websocket", ssl=context) as page:
            page.begin(signer.token())
            assert page.swap(JPEG + bytes(500_000)).image
            assert page.close_code() == 4002
        with RawSocket(relay.port, upgrade=False) as silent:
            assert silent.seconds_until_closed() < 20, "a handshake that never comes"
    finally:
        relay.stop()
    assert "Traceback" not in (tmp_path / "relay.log").read_text()
