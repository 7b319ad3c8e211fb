"""`unrecur data`: the tasks, what they need and where to get it."""

from typing import TYPE_CHECKING

from unrecur.cli.task_options import with_task

if TYPE_CHECKING:
    from rich.console import Console

    from unrecur.data.task import Task


@with_task
def data(task: "Task | None" = None) -> None:
    """List the tasks: what each is, the files it needs and where to get them.

    With a TASK, or data of your own, load it: its splits with their hashes, the metric and its
    chance level, what was done to the data, and what others have published.
    """
    from rich.console import Console

    console = Console()
    if task is None:
        _list(console)
    else:
        _describe(task, console)


def _list(console: "Console") -> None:
    """Print the table of tasks, kind by kind."""
    from typing import get_args

    from rich import box
    from rich.table import Table
    from rich.text import Text

    from unrecur.data.tasks import TASKS, Kind

    for kind in get_args(Kind):
        rows = {name: entry for name, entry in TASKS.items() if entry.kind == kind}
        if not rows:
            continue
        table = Table(title=kind, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("task", no_wrap=True)
        for head in ("what", "files below --data-dir", "from"):
            table.add_column(head, overflow="fold")
        for name, entry in rows.items():
            cells = (entry.title, entry.needs or "none", entry.origin or "comes with unrecur")
            table.add_row(Text(name), *map(Text, cells))
        console.print(table)
    console.print(
        "A file may lie in --data-dir itself or in the folder named here, plain or as .gz. Your "
        "own files need no entry: unrecur study FILE --target COLUMN.",
        highlight=False,
        markup=False,
    )


def _describe(task: "Task", console: "Console") -> None:
    """Print what a loaded task holds."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from unrecur.data.sequences import SPLITS

    inputs = "token ids" if task.tokens else "features"
    facts = [
        f"{task.name}: {task.title}",
        f"metric: {task.metric}, {task.unit}; chance level {task.chance_level:.4g}",
        f"inputs: {task.in_features:,} {inputs}; outputs: {task.out_features:,}",
    ]
    if task.longest_dependency is not None:
        facts.append(f"longest dependency: {task.longest_dependency} steps")
    facts += [f"also: {score.title} ({score.better} is better)" for score in task.scores.values()]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("split", "sequences", "steps", "counted", "SHA-256"):
        right = head in {"sequences", "steps", "counted"}
        table.add_column(head, justify="right" if right else "left", overflow="fold")
    for split in SPLITS:
        counts = (len(task.splits[split]), task.steps(split), int(task.counted(split).sum()))
        table.add_row(split, *(f"{count:,}" for count in counts), task.hashes[split])
    for fact in facts:
        console.print(Text(fact))
    console.print(table)
    for note in task.notes:
        console.print(Text(f"- {note}"))
    for figure in task.published:
        said = f"published: {figure.value:g} {figure.unit}, {figure.model} ({figure.source})"
        console.print(Text(said))
