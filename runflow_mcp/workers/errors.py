"""Why a server with workers gave up."""


class WorkersFailedError(Exception):
    """The server ends; the text says why. ``exit_code``: that of a worker with wrong settings, else 1."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
