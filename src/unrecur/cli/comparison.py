"""`unrecur study NAME`, where NAME is a comparison: its trials, a table, and a page."""

from pathlib import Path


def run_comparison(
    name: str, folder: Path, smoke: bool, seeds: int | None, device: str, command: str
) -> Path:
    """Run a comparison of the table, with bars, and write its page.

    Args:
        name: A name of `unrecur.studies.comparisons.COMPARISONS`.
        folder: Where the results go.
        smoke: Whether to run it small: it then shows that everything runs.
        seeds: How often each arm is trained; None for as often as it should be.
        device: Where everything runs.
        command: What to type to do it again, for the page.

    Returns:
        The page.

    Raises:
        InputError: The name or the device is unknown, or the folder holds other results.
        OSError: The folder cannot be written.
    """
    from rich.console import Console

    from unrecur import _check
    from unrecur.cli.progress import Bars
    from unrecur.report.comparison_page import write_comparison_page
    from unrecur.report.comparison_table import print_comparison
    from unrecur.studies.arms import smoke as small
    from unrecur.studies.comparison import SEEDS, compare
    from unrecur.studies.comparisons import COMPARISONS

    asked = COMPARISONS[_check.known_name(name, COMPARISONS, "comparison")]()
    console = Console()
    with Bars(console, "") as listener:
        results = compare(
            small(asked) if smoke else asked,
            folder,
            SEEDS if seeds is None else seeds,
            device,
            listener,
            command,
        )
    page = folder / "report.html"
    write_comparison_page(results, page)
    print_comparison(results, console)
    console.print(f"The page: {page}", soft_wrap=True, highlight=False)
    return page
