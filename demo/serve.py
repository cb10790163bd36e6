"""Serve the page that `make site` built, from your machine or a container: `make demo`."""

import dataclasses
import functools
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DEMO = Path(__file__).resolve().parent
sys.path.insert(0, str(DEMO.parent))

from cli import Settings, UserError, between, local_path, option, say  # noqa: E402
from machine.command import run_command  # noqa: E402


@dataclasses.dataclass(frozen=True)
class ServeSettings(Settings):
    """Serve the page that draws digits."""

    host: str = option("127.0.0.1", "Address to listen at; 0.0.0.0 for all, out of a container.")
    port: int = option(8000, "Port to listen at.", between(1, 2**16 - 1))
    folder: str = option(str(DEMO / "site"), "Folder of the page.", local_path)
    check: bool = option(False, "Only check that the address and port are free.")


def serve(settings):
    """Serve the page until Ctrl-C."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=settings.folder)
    try:
        server = ThreadingHTTPServer((settings.host, settings.port), handler)
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"cannot listen at {settings.host} port {settings.port} ({error}); "
            "try: make demo PORT=8001, or another HOST"
        ) from error
    with server:
        if not settings.check:
            say(f"Serving at http://{settings.host}:{settings.port}/ (Ctrl-C ends it)")
            server.serve_forever()


if __name__ == "__main__":
    sys.exit(run_command(ServeSettings, serve))
