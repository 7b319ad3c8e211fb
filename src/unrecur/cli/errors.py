"""What can go wrong, said in one message."""

import functools
from collections.abc import Callable
from typing import Any

import typer

from unrecur._check import InputError

BAD_INPUT, INTERRUPTED = 2, 130


def friendly(verb: Callable[..., None]) -> Callable[..., None]:
    """Turn the errors of a verb into one clear message and an exit code.

    2 for what the user or the machine can cure (bad input, a full disk, no permission), 130 for
    Ctrl-C. Anything else is a defect of ours and keeps its traceback.

    Args:
        verb: The function of a verb.

    Returns:
        The function, guarded.
    """

    @functools.wraps(verb)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            verb(*args, **kwargs)
        except (InputError, TypeError) as error:
            if isinstance(error, TypeError) and not _ours(error):
                raise
            _fail(str(error), BAD_INPUT)
        except OSError as error:
            _fail(_describe(error), BAD_INPUT)
        except KeyboardInterrupt:
            _fail("stopped. The same command goes on from here.", INTERRUPTED)

    return guarded


def _fail(message: str, code: int) -> None:
    """Say what is wrong and leave."""
    typer.secho(f"unrecur: {message}", err=True, fg=None if code == INTERRUPTED else "red")
    raise typer.Exit(code)


def _ours(error: TypeError) -> bool:
    """Say whether a check of this package raised the error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == "unrecur._check"


def _describe(error: OSError) -> str:
    """Say what the system said, and about which file."""
    if error.strerror is None:
        return str(error)
    place = f": {error.filename}" if error.filename is not None else ""
    return f"{error.strerror}{place}"
