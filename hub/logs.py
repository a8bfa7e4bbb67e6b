"""How the hub writes its log: readable lines on a terminal, JSON elsewhere when asked."""

import logging

import structlog

from hub.settings import Settings


def configure(settings: Settings) -> None:
    """Set up logging for this process."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    render = structlog.processors.JSONRenderer() if settings.log_json else structlog.dev.ConsoleRenderer(colors=False)
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
