"""Serve the page that `make site` built, from your machine or a container: `make demo`."""

import dataclasses
import functools
import http.server
import socket
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parent
sys.path.insert(0, str(DEMO.parent))

from cli import Settings, UserError, local_path, option, say  # noqa: E402
from machine.command import run_command  # noqa: E402


@dataclasses.dataclass(frozen=True)
class ServeSettings(Settings):
    """Serve the page that draws digits."""

    host: str = option("127.0.0.1", "address to listen at; 0.0.0.0 for all, out of a container")
    port: str = option("8000", "port to listen at")
    folder: str = option(str(DEMO / "site"), "what to serve", local_path)
    check: bool = option(False, "only say whether that can be listened at")


def serve(settings):
    """Serve the page until Ctrl-C."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=settings.folder)
    family, address = find_address(settings)
    server = type("Server", (http.server.ThreadingHTTPServer,), {"address_family": family})
    try:
        server = server(address, handler)
    except OSError as error:
        raise UserError(
            f"cannot listen at {settings.host} port {settings.port} ({error.strerror}); "
            "try: make demo PORT=8001, or another HOST"
        ) from error
    with server:
        if settings.check:
            return
        say(f"Serving at http://{settings.host}:{server.server_port}/ (Ctrl-C ends it)")
        server.serve_forever()


def find_address(settings):
    """What a socket needs to listen at the host and port; raises UserError if they are none."""
    if not settings.port.isdecimal() or not 0 < int(settings.port) < 2**16:
        raise UserError(f"PORT must be a whole number from 1 to 65535, got {settings.port!r}")
    try:
        found = socket.getaddrinfo(
            settings.host or None, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"HOST {settings.host!r} is no address of this machine ({error}); try 127.0.0.1"
        ) from error
    family, _, _, _, address = found[0]
    return family, address


def main(argv=None):
    """Run the command; return its exit status."""
    return run_command(ServeSettings, serve, argv)


if __name__ == "__main__":
    sys.exit(main())
