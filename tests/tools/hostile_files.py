"""Files that are no file with one certificate request in it, each with the reason that the refusal must give."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from tools import request_builder as der
from tools.request_builder import pem, sequence
from tools.support import openssl
from tools.workshop import AIKEN, UNREADABLE, Hostile, Workshop


def _text(name: str, reason: str, old: bytes, new: bytes) -> Hostile:
    """A good request whose text has been changed."""
    return Hostile(name, reason, lambda w: w.good().replace(old, new))


def _encoded(name: str, reason: str, change: Callable[[bytes], bytes]) -> Hostile:
    """A good request whose DER bytes have been changed."""
    return Hostile(name, reason, lambda w: pem(change(der.unpem(w.good()))))


def _new(workshop: Workshop) -> Path:
    return Path(tempfile.mkdtemp(dir=workshop.directory))


def _fifo(workshop: Workshop) -> Path:
    path = _new(workshop) / "fifo"
    os.mkfifo(path)
    return path


def _socket(workshop: Workshop) -> Path:
    path = _new(workshop) / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
    return path


def _dangling(workshop: Workshop) -> Path:
    path = _new(workshop) / "dangling.req.pem"
    path.symlink_to("nowhere")
    return path


def _certificate(workshop: Workshop) -> bytes:
    return openssl(
        *("req", "-x509", "-key", workshop.ec_key, "-subj", f"/CN={AIKEN}", "-days", "1"), directory=workshop.directory
    ).encode()


_HEADERS = b"-----BEGIN CERTIFICATE REQUEST-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,0011223344556677\n\n"

FILES = (
    Hostile("a FIFO", "is not a regular file", _fifo),
    Hostile("a directory", "Is a directory", lambda w: w.directory),
    Hostile("a device", "is not a regular file", lambda w: Path("/dev/zero")),
    Hostile("a socket", "is not a regular file", _socket),
    Hostile("a dangling link", "No such file", _dangling),
    Hostile("over 64 KiB", "has more than 64 KiB", lambda w: w.good() + b"\n" * 65536),
    Hostile("empty", "is not a certificate request in PEM form", lambda w: b""),
    Hostile("junk", "is not a certificate request in PEM form", lambda w: secrets.token_bytes(5000)),
    Hostile("DER", "is not a certificate request in PEM form", lambda w: der.unpem(w.good())),
    Hostile("two requests", "more than one request", lambda w: w.good() + w.good()),
    Hostile("a request and its key", "there is a private key in", lambda w: w.good() + w.host_key.read_bytes()),
    Hostile("a private key", "there is a private key in", lambda w: w.host_key.read_bytes()),
    Hostile("a certificate", "there is a certificate in", _certificate),
    Hostile("a certificate and a request", "there is a certificate in", lambda w: _certificate(w) + w.good()),
    Hostile("a request and a certificate", "there is a certificate in", lambda w: w.good() + _certificate(w)),
    Hostile("parameters", "is not a certificate request in PEM form", lambda w: pem(w.ec_public, "PUBLIC KEY")),
    _text("PEM headers", "not plain base64", b"-----BEGIN CERTIFICATE REQUEST-----\n", _HEADERS),
    _text("a cut end", "is incomplete", b"-----END CERTIFICATE REQUEST-----", b""),
    _text("another label at the end", "is incomplete", b"-----END CERTIFICATE", b"-----END NEW CERTIFICATE"),
    _text("base64 junk", "not plain base64", b"MI", b"M!"),
    _text("base64 with an end in it", "not plain base64", b"MI", b"MA==MI"),
    _text("a label within a line", UNREADABLE, b"-----BEGIN", b"x-----BEGIN"),
    _encoded("cut short", UNREADABLE, lambda data: data[:-1]),
    _encoded("something behind it", UNREADABLE, lambda data: data + b"\x05\x00"),
    _encoded("the indefinite length of BER", UNREADABLE, lambda data: b"\x30\x80" + data[3:] + b"\0\0"),
    _encoded("a length with a zero before it", UNREADABLE, lambda data: b"\x30\x82\x00" + data[2:]),
    _encoded("twice the same within one block", UNREADABLE, lambda data: data * 2),
    Hostile("DER of something else", UNREADABLE, lambda w: pem(w.ec_public)),
    Hostile("a request of empty parts", UNREADABLE, lambda w: pem(sequence(sequence(), sequence(), der.bits(b"")))),
    Hostile("200 levels", UNREADABLE, lambda w: pem(_nested(200))),
    Hostile("version 2", "version", lambda w: w.surgery(version=1)),
)


def _nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = sequence(inner)
    return inner
