"""The errors that any room may raise. None of them knows HTTP: `ocms.web.error_responses` maps them to responses."""


class OperatorError(Exception):
    """A problem that an operator can solve. Its text is one line that says what to do."""


class JobRunningError(OperatorError):
    """The job is already running, on this machine or on another one."""


class DayendNotReachedError(Exception):
    """Court notices may not be updated now: day-end has not been reached, or its window is over (section 1.3)."""
