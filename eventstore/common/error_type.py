"""How an error is named in logs."""


def error_type(error: BaseException) -> str:
    """Return the name of an error's class, of an SQLAlchemy error that of the driver's.

    Never its text: that may have a statement in it, and its values.
    """
    return type(getattr(error, "orig", None) or error).__name__
