"""How the hub writes its log: readable lines on a terminal, JSON elsewhere when asked."""

import logging

import structlog

from hub.settings import Settings


def _lines() -> structlog.dev.ConsoleRenderer:
    # Plain tracebacks: richer ones show local variables, and with them the tokens that requests carry.
    return structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)


def configure(settings: Settings) -> None:
    """Set up logging for this process."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    render = structlog.processors.JSONRenderer() if settings.log_json else _lines()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if settings.log_json else []),
            render,
        ],
        logger_factory=structlog.PrintLoggerFactory(),
    )
