"""matplotlib, as this code expects it on any machine."""

import contextlib
import os
import sys

from cli import UserError


@contextlib.contextmanager
def plain_matplotlib():
    """matplotlib with its own defaults, whatever the user's backend and rc file say.

    Figures are made and drawn inside; it is also a decorator. It takes half a second to load.
    Raises UserError when matplotlib cannot be loaded, as where it finds no folder for its list of
    fonts, which it cannot do without.
    """
    backend = os.environ.pop("MPLBACKEND", None)  # a Jupyter kernel's may not be installed here
    try:
        is_loaded = "matplotlib" in sys.modules
        import matplotlib
        import matplotlib.backends.backend_agg
        import matplotlib.figure
    except (OSError, ValueError) as error:
        raise UserError(
            f"matplotlib cannot be loaded ({error}); if it finds no folder that it can write to, "
            "set MPLCONFIGDIR to one, for example MPLCONFIGDIR=$PWD/.matplotlib"
        ) from error
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend and not is_loaded:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend  # for what else a notebook draws
    defaults = dict(matplotlib.rcParamsDefault)
    del defaults["backend"]
    with matplotlib.rc_context(defaults):
        yield
