"""The name of an error in logs."""


def error_type(error: BaseException) -> str:
    """Return the name of an error's class; for an SQLAlchemy error, that of the driver's error.

    Logs never have an error's text, because it may contain a statement with its values.
    """
    return type(getattr(error, "orig", None) or error).__name__
