"""What the patches are set to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """What the patches are set to. Bitrates in bits per second."""

    ice_addresses: tuple[str, ...] | None = ("127.0.0.1",)  # None: every address of the host
    behind_proxy: bool = False  # peers may be elsewhere, whatever is listened on
    start_bitrate: int = 2_000_000
    min_bitrate: int = 250_000
    max_bitrate: int = 8_000_000
    remb_floor: int = 1_500_000
    max_width: int = 1920
    max_height: int = 1088


_settings = TransportSettings()


def settings() -> TransportSettings:
    """Give what is in force."""
    return _settings


def use(given: TransportSettings) -> None:
    """Put other values in force, at once."""
    global _settings
    _settings = given
