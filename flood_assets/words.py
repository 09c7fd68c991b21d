"""Say counts in plain English."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, such as "1 window", "2 windows" or "1,500 queries"."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
