"""What can be wrong with a template."""

from ferryman.errors import FerryError


class TemplateError(FerryError):
    """A template that cannot be applied to the value, in docker's words."""

    def __init__(self, message: str) -> None:
        """Take what Go says behind its own prefix: place and fault."""
        super().__init__(f"template parsing error: template: {message}")


class TemplateSyntaxError(TemplateError):
    """A template that is not one (``docker inspect`` exits with 64 here, all others with 1)."""


class CallError(Exception):
    """A function refuses its arguments; becomes a :class:`TemplateError` that names the place."""
