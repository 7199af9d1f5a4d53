"""TLS of our own listeners."""

from __future__ import annotations

import ssl
from pathlib import Path

from stakewire.errors import ConfigError


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """A context for HTTP/1.1 over TLS 1.2 or later; `cert` is a PEM chain, `key` its unencrypted PEM key.

    Raises:
        ConfigError: a file is missing or unreadable, or the two do not belong together.
    """
    for flag, path in (("--tls-cert", cert), ("--tls-key", key)):
        if not path.is_file():
            raise ConfigError(f"{flag}: there is no file {path}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # A password callback that gives nothing keeps an encrypted key from asking on the terminal.
        context.load_cert_chain(cert, key, password=lambda: b"")
    except PermissionError as error:
        raise ConfigError(f"cannot read {error.filename or key}: {error.strerror}") from None
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(
            f"{cert} and {key} cannot be used for TLS ({reason}): "
            "give a PEM chain and its unencrypted PEM key"
        ) from None
    return context
