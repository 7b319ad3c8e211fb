"""Arguments that several verbs share."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

Verb = Callable[..., None]

DataDir = Annotated[
    Path | None,
    typer.Option(help="The folder with the task's data, where they do not come with unrecur."),
]
Device = Annotated[str, typer.Option(help="Where to run: cpu, cuda, cuda:1, ...")]


def filled(argument: str, make: Callable[..., Any]) -> Callable[[Verb], Verb]:
    """Give verbs the options of a function, in the place of the argument that it makes of them.

    Args:
        argument: The name of the argument.
        make: Takes the options. If it asks for its first one, a verb whose argument has a default
            does not; left out, the argument is None.

    Returns:
        Gives such a verb as typer is to see it.
    """

    def fill(verb: Verb) -> Verb:
        asked = dict(inspect.signature(make).parameters)
        own = dict(inspect.signature(verb).parameters)
        wanted, first = own.pop(argument), next(iter(asked))
        if asked[first].default is inspect.Parameter.empty:
            asked[first] = asked[first].replace(default=wanted.default)
        parameters = [*asked.values(), *own.values()]
        # Python wants those without a default first.
        parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)

        def run(**given: Any) -> None:
            named = {name: given.pop(name) for name in asked}
            verb(**{argument: None if named[first] is None else make(**named)}, **given)

        run.__name__, run.__doc__ = verb.__name__, verb.__doc__
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return fill
