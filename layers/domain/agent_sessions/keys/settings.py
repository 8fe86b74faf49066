"""The one setting of the authorizer and of the command for keys, read by hand.

pydantic, which reads the settings of the other functions, would be a third of the authorizer's cold start (331 of 928
million instructions), and a caller whose key the gateway does not remember waits for that before the API's own.
"""

from collections.abc import Mapping
from typing import NamedTuple

from agent_sessions.errors import SettingsError


class KeySettings(NamedTuple):
    """Where the keys are."""

    api_keys_table: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "KeySettings":
        """Read the setting out of `env`; an empty string counts as not set.

        Raises:
            SettingsError: it is not set.

        """
        table = env.get("API_KEYS_TABLE")
        if not table:
            raise SettingsError("API_KEYS_TABLE: is required")
        return cls(table)
