"""How the local page is served, and what it takes."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, replace

from srn_deploy.errors import OptionError

SHORTEST_TOKEN = 16
"""Characters: a shorter one can be guessed."""

MOST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Raises OptionError for values that cannot work."""

    host: str = "127.0.0.1"
    """The address it listens on; any but this machine's own loopback needs a token."""
    port: int = 7860
    """0 takes one that is free."""
    token: str = ""
    """What a browser has to know; without one only this machine is answered."""
    models: tuple[str, ...] = ()
    """Names or files that are offered besides the shipped and pulled models, and before them."""
    device: str = "auto"
    precision: str = "auto"
    """Both as in `open_model`."""
    max_megapixels: float = 50.0
    """Larger pictures are refused before they are decoded."""
    max_file_bytes: int = 200 * 2**20
    """Larger files are refused while they are sent."""
    max_pictures: int = 100
    """In one run."""
    max_waiting: int = 8
    """Runs that wait while another is running; further ones are refused."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= MOST_PORT:
            raise OptionError(f"There is no port {self.port}.", remedy=f"Give 0 to {MOST_PORT}; 0 takes a free one.")
        if not self.host.isascii() or not self.host.strip() or "/" in self.host:
            raise OptionError(f"{self.host!r} is not an address to listen on.",
                              remedy="Give one of this machine, as in 127.0.0.1, or 0.0.0.0 for all of them.")
        if self.token:
            checked_token(self.token)
        if min(self.max_megapixels, self.max_file_bytes, self.max_pictures) <= 0 or self.max_waiting < 0:
            raise OptionError("A limit of the page is not above 0, so it could take nothing.",
                              remedy="Give larger ones.")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the address."""
        return is_loopback(self.host)

    def with_token(self) -> PageOptions:
        """The same, with a random token where one is needed and none was given."""
        return self if self.is_local or self.token else replace(self, token=secrets.token_hex(SHORTEST_TOKEN))


def is_loopback(host: str) -> bool:
    """Whether a name or an address of a host means this machine itself, as 127.0.0.2, ::1 and localhost do."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # the name of a host
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def checked_token(token: str) -> str:
    """The token; raises OptionError for one that can be guessed, or cannot stand in an address."""
    if len(token) < SHORTEST_TOKEN or not token.isalnum() or not token.isascii():
        raise OptionError("This token can be guessed, or cannot stand in an address.",
                          remedy=f"Give {SHORTEST_TOKEN} letters and digits or more, or none: one is made.")
    return token
