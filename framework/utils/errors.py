"""Errors of the package, with their exit codes."""

from __future__ import annotations

from typing import ClassVar

FAILED, REFUSED = 1, 2


class BfmkitError(Exception):
    """Base class of bfmkit's own errors; the message is for the user."""

    exit_code: ClassVar[int] = FAILED
    """Of the command line: 1 for work that failed, 2 for input that was refused before any work."""


class RefusedError(BfmkitError):
    """Base class of errors in what the user asked for; nothing has been done."""

    exit_code = REFUSED


class JobError(BfmkitError, RuntimeError):
    """Error of a job that ended without having done all of its work."""


class CommandError(RefusedError):
    """Error of a command that was refused; a line for each problem."""
