"""Every setting and limit, with its default. The only reader of the environment (RESTYLE_*)."""

import json
import os
import socket
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator
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

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class SettingsError(Exception):
    """A setting that cannot be used; the message names it."""


class Settings(BaseSettings):
    """What one server process runs with, limits included."""

    model_config = SettingsConfigDict(env_prefix="RESTYLE_", extra="forbid", frozen=True)

    # where it listens
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    token: str | None = Field(default=None, min_length=16)  # None: kept in the state folder
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: Annotated[list[str], NoDecode] = []
    origins: Annotated[list[str], NoDecode] = []  # besides the server's own
    hosts: Annotated[list[str], NoDecode] = []  # Host names besides loopback's and `host`
    ice_servers: list[IceServer] = []
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
    threads: int = Field(default=0, ge=0)
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
    recordings_days: int = Field(default=0, ge=0)  # until they are removed; 0: they are kept
    stream_targets: Annotated[
        list[str], NoDecode
    ] = []  # rtmp[s]://host[:port][/path] and below, srt://host:port
    virtual_camera: str | None = None  # its device; None: the first that is free
    stream_kbps: int = Field(default=2500, ge=100, le=50_000)

    # limits
    sessions: int = Field(default=0, ge=0, le=256)  # 0: from the measured speed
    viewers: int = Field(default=20, ge=0, le=256)  # of one session; they share its encode
    outputs: int = Field(default=4, ge=0, le=64)  # of one session
    setup_s: float = Field(default=10, gt=0)  # from offer to first frame
    no_media_s: float = Field(default=8, gt=0)  # without a frame; its place is free within 10
    source_away_s: float = Field(default=600, gt=0)  # that a source which broke off is tried again
    resume_s: float = Field(default=60, ge=0)  # that a lost session can be brought back
    resumable: int = Field(default=64, ge=1)  # lost sessions that are kept
    session_s: float = Field(default=4 * 3600, gt=0)
    drain_s: float = Field(default=30, ge=0)
    pending_per_peer: int = Field(default=4, ge=1)
    pending: int = Field(default=16, ge=1)
    joins_per_minute: int = Field(default=30, ge=0)  # of one address but loopback; 0: any number
    bad_tokens_per_minute: int = Field(default=10, ge=1)
    messages_per_second: int = Field(default=100, ge=1)
    token_s: float = Field(default=12 * 3600, gt=0)  # life of what a printed link is exchanged for
    connections_per_address: int = Field(default=32, ge=1)  # HTTP; not counted behind a proxy
    header_s: float = Field(default=5, gt=0)  # until a request's headers are there
    body_s: float = Field(default=10, gt=0)  # … and then its body
    max_body: int = 256 * 1024  # bytes
    max_headers: int = 16 * 1024  # bytes

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
        own = (self.host, f"[{self.host}]")  # as headers write IPv6 addresses
        return frozenset(
            each.lower() for each in ("127.0.0.1", "localhost", "[::1]", *own, *self.hosts)
        )


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
        given_value = f" (given: {json.dumps(first['input'], default=str)})" if name else ""
        raise SettingsError(f"{name}: {said}{given_value}" if name else said) from error


def _folder(variable: str, otherwise: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / otherwise) / "restyle"
