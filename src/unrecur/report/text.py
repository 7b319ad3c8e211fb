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
        >>> number(7.49), number(100123), number(1.2345e-7), number(None) == ABSENT
        ('7.490', '100,123', '1.234e-07', True)
    """
    if value is None:
        return ABSENT
    if value == 0 or (isinstance(value, int) and abs(value) < 1e12):
        return f"{value:,.0f}"
    if 1e-3 <= abs(value) < 10**digits:
        return f"{value:#.{digits}g}".rstrip(".")
    if 10**digits <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.{digits - 1}e}"


def compact(value: float | None) -> str:
    """Write a large number with three digits and the letter of its thousands.

    Args:
        value: The number, or None.

    Returns:
        The text; a dash for None.

    Example:
        >>> compact(91234.0), compact(2_500_000), compact(12.0)
        ('91.2k', '2.50M', '12.0')
    """
    if value is None:
        return ABSENT
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:#.3g}".rstrip(".") + letter
    return f"{value:#.3g}".rstrip(".")


def percent(fraction: float | None, *, sign: bool = False) -> str:
    """Write a fraction in percent.

    Args:
        fraction: The fraction, or None.
        sign: Whether to write a plus as well as a minus.

    Returns:
        The text; a dash for None.

    Example:
        >>> percent(0.02), percent(0.0041, sign=True), percent(0.95)
        ('2%', '+0.41%', '95%')
    """
    if fraction is None:
        return ABSENT
    text = f"{100 * fraction:{'+' if sign else ''}.3g}%"
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
        ('3 min 10 s', '2 h 2 min', '4.2 s')
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
        >>> counted(1, "seed"), counted(3, "seed")
        ('1 seed', '3 seeds')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
