"""Every setting and limit, with its default. The only reader of the environment (RESTYLE_*)."""

import json
import os
import re
import socket
from collections.abc import Callable
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.config import (
    BackendName,
    CompileMode,
    Device,
    EngineConfig,
    Precision,
    ScheduleName,
)
from server.cross_origin import parse_origin
from server.logs import LogFormat
from server.schema.sessions import IceServer
from server.stream_targets import parse_target
from streams.sources.schemes import SCHEMES

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PREFIX = "RESTYLE_"
# whose values no message may quote: they are secrets, or may hold some
_SECRET = ("token", "turn_secret", "ice_servers", "source_urls")
_YEAR = 366 * 24 * 3600.0

# an end must come: a timer takes neither infinity nor what is near it
Seconds = Annotated[float, Field(gt=0, le=_YEAR)]
SecondsOrNone = Annotated[float, Field(ge=0, le=_YEAR)]


class SettingsError(Exception):
    """A setting that cannot be used; the message names it."""


class Settings(BaseSettings):
    """What one server process runs with, limits included."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="forbid", frozen=True)

    # where it listens
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    token: str | None = Field(default=None, min_length=16)  # None: kept in the state folder
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: Annotated[list[str], NoDecode] = []
    origins: Annotated[list[str], NoDecode] = []  # besides the server's own
    hosts: Annotated[list[str], NoDecode] = []  # Host names besides loopback's and `host`
    ice_servers: Annotated[list[IceServer], NoDecode] = []  # in the environment as JSON
    turn_urls: Annotated[list[str], NoDecode] = []  # turn:relay.example:3478, turns:… (turn.py)
    turn_secret: str | None = Field(default=None, min_length=16)  # that the TURN server has, too
    ice_addresses: Annotated[list[str], NoDecode] = []  # empty: `host`

    # what it may open for POST /api/sources: nothing, unless said here
    source_urls: Annotated[list[str], NoDecode] = []  # rtsp://camera.local/live and what is below
    source_devices: Annotated[list[str], NoDecode] = []  # /dev/video0
    source_folder: Path | None = None  # of video files and images

    chromium: str | None = None  # that `bench latency` drives; None: the first on the PATH

    # what it runs
    model: str = "embedded"
    autoencoder: str | None = None
    lora: str | None = None
    width: int = 256
    height: int = 256
    device: Device = "auto"
    backend: BackendName = "auto"
    schedule: ScheduleName = "step-major"
    threads: int = Field(default=0, ge=0, le=1024)
    feature_bank: int = 0
    feature_fusion: float = 0.0
    feature_anchor: bool = False
    feature_merge: int = 0
    max_rows: int = 8
    compile_mode: CompileMode = "auto"
    precision: Precision = "auto"
    warped_noise: bool = True  # without, no style may ask for it (style_limits.py)
    osc: int = Field(default=0, ge=0, le=65535)  # UDP port on loopback; 0: none
    engine_process: bool = True  # of its own: `serve` outlives its crashes and hangs
    media_processes: int = Field(default=0, ge=0, le=64)  # for connections; 0: in the server's own

    # where pictures may go besides the page and viewers
    recordings: Path | None = None  # the folder of recordings; None: none are made
    recordings_days: int = Field(default=0, ge=0, le=36_500)  # until they go; 0: they are kept
    stream_targets: Annotated[
        list[str], NoDecode
    ] = []  # rtmp[s]://host[:port][/path] and below, srt://host:port
    virtual_camera: str | None = None  # its device; None: the first that is free
    stream_kbps: int = Field(default=2500, ge=100, le=50_000)

    # limits
    sessions: int = Field(default=0, ge=0, le=256)  # 0: from the measured speed
    viewers: int = Field(default=20, ge=0, le=256)  # of one session; they share its encode
    outputs: int = Field(default=4, ge=0, le=64)  # of one session
    setup_s: Seconds = 10  # from offer to first frame
    no_media_s: Seconds = 8  # without a frame; its place is free within 10
    source_away_s: Seconds = 600  # that a source which broke off is tried again
    resume_s: SecondsOrNone = 60  # that a lost session can be brought back
    resumable: int = Field(default=64, ge=1)  # lost sessions that are kept
    session_s: Seconds = 4 * 3600
    drain_s: SecondsOrNone = 30
    pending_per_peer: int = Field(default=4, ge=1)
    pending: int = Field(default=16, ge=1)
    joins_per_minute: int = Field(default=30, ge=0)  # of one address but loopback; 0: any number
    bad_tokens_per_minute: int = Field(default=10, ge=1)
    messages_per_second: int = Field(default=100, ge=1)
    token_s: Seconds = 12 * 3600  # life of what a printed link is exchanged for
    connections_per_address: int = Field(default=32, ge=1)  # HTTP; not counted behind a proxy
    header_s: Seconds = 5  # until a request's headers are there
    body_s: Seconds = 10  # … and then its body
    max_body: int = Field(default=256 * 1024, ge=1)  # bytes
    max_headers: int = Field(default=16 * 1024, ge=1024)  # bytes

    log_level: str = Field(default="warning", pattern="^(debug|info|warning|error)$")
    log_format: LogFormat = "text"

    @field_validator(
        "trusted_proxies",
        "origins",
        "hosts",
        "ice_addresses",
        "turn_urls",
        "stream_targets",
        "source_urls",
        "source_devices",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            [part.strip() for part in value.split(",") if part.strip()]
            if isinstance(value, str)
            else value
        )

    @field_validator("ice_servers", mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value or "[]")
        except ValueError as error:
            raise ValueError('give JSON: [{"urls": ["stun:HOST:PORT"]}]') from error

    @field_validator("recordings", "source_folder", "tls_cert", "tls_key", mode="before")
    @classmethod
    def _is_path(cls, value: object) -> object:
        if value == "":  # would be the folder that the server was started in
            raise ValueError("an empty path; leave it out for none")
        return value

    @field_validator("recordings", "source_folder")
    @classmethod
    def _is_folder(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is None or value.is_dir():
            return value
        if value.exists():
            raise ValueError("that is no folder")
        if info.field_name == "source_folder":  # that of recordings is made by the first one
            raise ValueError("no such folder")
        return value

    @field_validator("token")
    @classmethod
    def _fits_a_header(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[!-~]+", value):
            raise ValueError("give printable ASCII without spaces: it is sent in a header")
        return value

    @field_validator("host")
    @classmethod
    def _is_host(cls, value: str) -> str:
        return _host(value)

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, value: list[str]) -> list[str]:
        return [_host(each) for each in value]

    @field_validator("trusted_proxies")
    @classmethod
    def _are_proxies(cls, value: list[str]) -> list[str]:
        for each in value:
            if each != "*" and not _is(ip_network, each):
                raise ValueError(f"{each!r}: give addresses, or networks such as 10.0.0.0/8")
        return value

    @field_validator("ice_addresses")
    @classmethod
    def _are_addresses(cls, value: list[str]) -> list[str]:
        for each in value:
            if each != "localhost" and not _is(ip_address, each):
                raise ValueError(f"{each!r}: give addresses such as 192.168.1.5")
        return value

    @field_validator("ice_servers")
    @classmethod
    def _are_ice_servers(cls, value: list[IceServer]) -> list[IceServer]:
        for url in (url for each in value for url in each.urls):
            if not re.fullmatch(r"(stun|turn)s?:[^/\s]+", url):
                raise ValueError("urls: give stun:HOST:PORT, turn:HOST:PORT or turns:HOST:PORT")
        return value

    @field_validator("source_urls")
    @classmethod
    def _are_sources(cls, value: list[str]) -> list[str]:
        for each in value:
            try:
                parts = urlsplit(each)
                known = parts.scheme in SCHEMES and parts.hostname and parts.port != 0
            except ValueError:  # an open bracket, or a port that is none
                known = False
            if not known:
                raise ValueError(f"give SCHEME://HOST/PATH with one of {', '.join(SCHEMES)}")
        return value

    @field_validator("stream_targets")
    @classmethod
    def _are_targets(cls, value: list[str]) -> list[str]:
        for each in value:
            parse_target(each)
        return value

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, value: list[str]) -> list[str]:
        return [parse_origin(each) for each in value]

    @field_validator("turn_urls")
    @classmethod
    def _are_relays(cls, value: list[str]) -> list[str]:
        for each in value:
            if not each.startswith(("turn:", "turns:")):
                raise ValueError(f"{each!r}: give turn:HOST:PORT or turns:HOST:PORT")
        return value

    @model_validator(mode="after")
    def _safe(self) -> "Settings":
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("tls_cert and tls_key: give both or neither")
        if bool(self.turn_urls) != bool(self.turn_secret):
            raise ValueError("turn_urls and turn_secret: give both or neither")
        if self.host not in _LOOPBACK and not self.tls_cert and not self.trusted_proxies:
            raise ValueError(
                f"host {self.host}: reachable from outside, so give tls_cert and tls_key, "
                "or trusted_proxies when a proxy does TLS"
            )
        self.engine()
        return self

    def engine(self) -> EngineConfig:
        """Give what the engine is built from. Raises ConfigError."""
        return EngineConfig(
            model=self.model,
            autoencoder=self.autoencoder,
            lora=self.lora,
            width=self.width,
            height=self.height,
            device=self.device,
            backend=self.backend,
            schedule=self.schedule,
            threads=self.threads,
            feature_bank=self.feature_bank,
            feature_fusion=self.feature_fusion,
            feature_anchor=self.feature_anchor,
            feature_merge=self.feature_merge,
            max_rows=self.max_rows,
            compile_mode=self.compile_mode,
            precision=self.precision,
            cache=_folder("XDG_CACHE_HOME", ".cache"),
        )

    @property
    def url(self) -> str:
        """The address that a person opens."""
        scheme = "https" if self.tls_cert else "http"
        everywhere = self.host in ("0.0.0.0", "::")  # nosec B104 - compared, not bound
        host = self.hosts[0] if everywhere and self.hosts else self.host
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{self.port}"

    @property
    def family(self) -> socket.AddressFamily:
        """Of which kind the address is that is listened on."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Host header values that are served, in small letters and without the port."""
        served = (*_LOOPBACK, self.host, *self.hosts)
        # as headers write IPv6 addresses
        return frozenset(f"[{each}]".lower() if ":" in each else each.lower() for each in served)


def state_folder() -> Path:
    """Give the folder that keeps the token over restarts."""
    return _folder("XDG_STATE_HOME", ".local/state")


def load_settings(**given: Any) -> Settings:
    """Read options and environment; options win. Raises SettingsError with one sentence."""
    try:
        return Settings(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        shown = name and str(first["loc"][0]) not in _SECRET
        given_value = f" (given: {json.dumps(first['input'], default=str)})" if shown else ""
        raise SettingsError(f"{name}: {said}{given_value}" if name else said) from error


def unknown_variables() -> list[str]:
    """Say which RESTYLE_ variables are no settings, each with what may have been meant."""
    known = [_PREFIX + name.upper() for name in Settings.model_fields]
    given = {name for name in map(str.upper, os.environ) if name.startswith(_PREFIX)}
    said = []
    for name in sorted(given - set(known)):
        near = get_close_matches(name, known, 1, 0.8)
        said.append(f"{name}: no such setting" + (f"; is {near[0]} meant?" if near else ""))
    return said


def _folder(variable: str, otherwise: str) -> Path:
    try:
        return Path(os.environ.get(variable) or Path.home() / otherwise) / "restyle"
    except RuntimeError as error:  # a user that the system has no name of, as in containers
        raise SettingsError(f"no home folder is known: set HOME, or {variable}") from error


def _host(written: str) -> str:
    """Give a host's name or address, an IPv6 one without brackets. Raises ValueError."""
    bare = written[1:-1] if written.startswith("[") and written.endswith("]") else written
    if not (_is(ip_address, bare) if ":" in bare else re.fullmatch(r"[\w.-]+", bare, re.ASCII)):
        raise ValueError(f"{written!r}: give a name or an address alone, in ASCII")
    return bare


def _is(kind: Callable[[str], object], written: str) -> bool:
    try:
        kind(written)
    except ValueError:
        return False
    return True
