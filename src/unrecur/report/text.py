"""Numbers as people read them: the same words on the page, in figures and in the terminal."""

ABSENT = "\N{EN DASH}"


def number(value: float | None, digits: int = 4) -> str:
    """Write a number with so many significant digits.

    Args:
        value: The number, or None.
        digits: How many.

    Returns:
        The text; a dash for None.

    Example:
        >>> number(7.49), number(100123), number(9999.96), number(1.25e-7)
        ('7.490', '100,123', '10,000', '1.250e-07')
        >>> number(None) == ABSENT
        True
    """
    if value is None:
        return ABSENT
    if value == 0 or (isinstance(value, int) and abs(value) < 1e12):
        return f"{value:,.0f}"
    short = f"{value:.{digits - 1}e}"
    size = abs(float(short))
    if 1e-3 <= size < 10**digits:
        return f"{value:#.{digits}g}".rstrip(".")
    return f"{value:,.0f}" if 10**digits <= size < 1e9 else short


def compact(value: float | None) -> str:
    """Write a large number with three digits and the letter of its thousands.

    Args:
        value: The number, or None.

    Returns:
        The text; a dash for None.

    Example:
        >>> compact(91234.0), compact(2_500_000), compact(12.0)
        ('91.2k', '2.50M', '12')
    """
    if value is None:
        return ABSENT
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:#.3g}".rstrip(".") + letter
    return f"{value:.3g}"


def percent(fraction: float | None, *, sign: bool = False) -> str:
    """Write a fraction in percent.

    Args:
        fraction: The fraction, or None.
        sign: Whether to write a plus as well as a minus.

    Returns:
        The text; a dash for None.

    Example:
        >>> percent(0.02), percent(0.0041, sign=True), percent(0.95), percent(25.0)
        ('2%', '+0.41%', '95%', '2,500%')
    """
    if fraction is None:
        return ABSENT
    digits = ".3g" if abs(fraction) < 9.995 else ",.0f"
    text = f"{100 * fraction:{'+' if sign else ''}{digits}}%"
    return text.replace("-", "\N{MINUS SIGN}")


def microseconds(seconds: float | None) -> str:
    """Write a time in microseconds, without the unit.

    Args:
        seconds: The time in seconds, or None.

    Returns:
        The text; a dash for None.

    Example:
        >>> microseconds(0.00011)
        '110'
    """
    if seconds is None:
        return ABSENT
    return f"{1e6 * seconds:,.0f}" if seconds >= 1e-4 else f"{1e6 * seconds:.3g}"


def duration(seconds: float | None) -> str:
    """Write how long something took.

    Args:
        seconds: The time in seconds, or None.

    Returns:
        The text; a dash for None.

    Example:
        >>> duration(190.2), duration(7300), duration(4.2)
        ('3 min 10 s', '2 h 1 min', '4.2 s')
    """
    if seconds is None:
        return ABSENT
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def counted(count: int, noun: str) -> str:
    """Write how many of something there are.

    Args:
        count: How many.
        noun: One of them.

    Returns:
        The text.

    Example:
        >>> counted(1, "seed"), counted(3000, "seed")
        ('1 seed', '3,000 seeds')
    """
    return f"{count} {noun}" if count == 1 else f"{count:,} {noun}s"


def shorten(text: str, longest: int) -> str:
    """Leave out the middle of a long text.

    Args:
        text: Any text.
        longest: The most characters to keep, the ellipsis among them; at least 3.

    Returns:
        The text, as long at most.

    Example:
        >>> shorten("lstm", 8), shorten("a_very_long_name", 8)
        ('lstm', 'a_ve…ame')
    """
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}…{text[-((longest - 1) // 2) :]}"


def printable(text: str) -> str:
    r"""Make a text safe to show: one line, without characters that steer what shows it.

    A terminal obeys escapes, a page turns round what follows a right-to-left override, and UTF-8
    has no place for half a surrogate pair.

    Args:
        text: Any text.

    Returns:
        The text, each run of white space a space, each such character a question mark.

    Example:
        >>> printable(" red\x1b[31m\nhat ")
        'red?[31m hat'
    """
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
