"""The errors that a person can do something about.

Each message names the value that was wrong and the remedy, so the command line shows it
without a traceback. Errors of one subject derive from these in the file of that subject.
"""


class FloodAssetsError(Exception):
    """Something a person can put right: settings, source, store or clock."""


class SettingsError(FloodAssetsError):
    """A setting has a value that cannot be used."""


class ClockError(FloodAssetsError):
    """This machine's clock contradicts what the lake has already recorded."""


class SourceError(FloodAssetsError):
    """The API could not be reached, or its answer cannot be believed."""


class WrongLakeError(SettingsError):
    """The lake holds the readings of another API."""


class LakeError(FloodAssetsError):
    """The lake could not be read or written."""
