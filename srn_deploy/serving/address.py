"""The address of a server, as the user gives it."""

from __future__ import annotations

from urllib.parse import urlsplit

from srn_deploy.errors import OptionError

SCHEME = "grpc"

SHOWN = f"{SCHEME}://HOST:PORT"


def host_and_port(address: str) -> str:
    """An address as in grpc://localhost:8001, as gRPC takes it; raises OptionError for one of another form."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.scheme != SCHEME or address != f"{SCHEME}://{parts.netloc}" or "@" in address:
        raise OptionError(f"{address!r} is not of the form {SHOWN}.",
                          remedy=f"Write it as in {SCHEME}://localhost:8001; 8001 is Triton's port for gRPC.")
    return parts.netloc
