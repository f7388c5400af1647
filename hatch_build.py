"""Refuse ordinary wheels: `server`, `pipeline` and `streams` are no names for site-packages."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's own generic
    """Let an editable install pass and stop every wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Stop unless hatchling is making an editable install."""
        if version != "editable":
            raise SystemExit(
                "an application, not a library: use `make run`, `pip install -e .`, or the image"
            )
