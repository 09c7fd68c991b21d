"""Taking secrets out of what is shown. Every finding passes through here (`flood_assets.cli.doctor.finding`)."""

import os
import re

_SECRET_NAME = re.compile(r"secret|token|passw|credential|account_key|sas|private", re.IGNORECASE)
_SECRET_SET = re.compile(
    r"((?:secret|token|passw|url|conn|key)\w*)['\"]?\s*:[\s\['\"]*([^\s,'\"}\]]{4,})", re.IGNORECASE
)
_USER_IN_URL = re.compile(r"(?<=://)[^/\s@]+@")
_SECRET_SAID = re.compile(
    r"((?:secret|token|passw\w*|account_key)[\w-]*['\"]?\s*[:=]\s*)['\"]?[^\s'\",}]+", re.IGNORECASE
)


def without_secrets(text: str) -> str:
    """The text without what the environment, a URL or a message of somebody else's may tell of secrets."""
    for name, value in os.environ.items():
        # A word of a few letters is no secret, and would be cut out of other words.
        if _SECRET_NAME.search(name) and len(value) >= 8 and not os.path.exists(value):  # noqa: PTH110 - Path raises where a value is too long for a name
            text = text.replace(value, "***")
    return _SECRET_SAID.sub(r"\1***", _USER_IN_URL.sub("***@", text))
