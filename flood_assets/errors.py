"""Errors with a remedy.

Each message names the wrong value and the remedy, so the command line shows it without a traceback. Errors of one
subject derive from these in the file of that subject.
"""


class FloodAssetsError(Exception):
    """Error that a person can fix: settings, source, store or clock."""


class SettingsError(FloodAssetsError):
    """Setting with an invalid value."""


class ClockError(FloodAssetsError):
    """Wrong clock of this machine: the lake already holds later times."""


class SourceError(FloodAssetsError):
    """API that could not be reached, or an answer that is damaged or suspect."""


class WrongLakeError(SettingsError):
    """Lake that holds the readings of another API."""


class LakeError(FloodAssetsError):
    """Lake that could not be read or written."""


class RefusedError(LakeError):
    """Store that refuses, and will until a person does something: another try would only take time."""
