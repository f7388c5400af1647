"""What is fuzzed: each target takes bytes, which must be refused or accepted, and nothing else."""

import asyncio
import json
import queue
import re
import shutil
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import av
import httpx
import torch
import uvicorn
from aiortc import RTCRtpCodecParameters, RTCRtpSender, RTCSctpTransport, rtcsctptransport
from aiortc.codecs import depayload
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap, RtcpPacket, RtpPacket
from pydantic import ValidationError

from pipeline.config import EngineConfig
from pipeline.embedded import WEIGHTS
from pipeline.errors import PipelineError
from pipeline.models.folder import open_folder
from pipeline.models.static_text import StaticTextEncoder
from pipeline.prompts import Prompts, TextEncoder
from server.app import create_app
from server.control import Control
from server.errors import describe
from server.osc import OscError, parse_packet, style_change
from server.schema.style import Style, StylePatch
from server.serve import _uvicorn_config
from server.settings import Settings
from streams.aiortc_patches import TransportSettings, install
from streams.aiortc_patches.ice import receive_datagram
from streams.aiortc_patches.receiving import decode_frames
from streams.aiortc_patches.sending import FastH264Encoder, handle_feedback
from streams.errors import MalformedOffer, OfferRefused
from streams.frame import SessionId
from streams.jitter import Frames, MarkerJitterBuffer, PatientNackGenerator
from streams.media_link import Link
from streams.peer import check_offer
from streams.worker import Worker
from tests.server.conftest import TOKEN, Served
from tests.streams.fakes import ReadingEngine
from tests.streams.test_datagrams import STRANGER, port

_MODEL_FILES = (
    "model_index.json", "styles.json", "scheduler/scheduler_config.json", "unet/config.json",
    "vae/config.json", "text_encoder/config.json", "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors",
)  # fmt: skip


_VP8 = RTCRtpCodecParameters("video/VP8", clockRate=90000, payloadType=97)
_H264 = RTCRtpCodecParameters("video/H264", clockRate=90000, payloadType=99)
_EXTENSIONS = HeaderExtensionsMap()
_EXTENSIONS.configure(
    RTCRtpParameters(
        headerExtensions=[
            RTCRtpHeaderExtensionParameters(id=1, uri="urn:ietf:params:rtp-hdrext:sdes:mid"),
            RTCRtpHeaderExtensionParameters(
                id=2, uri="http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
            ),
        ]
    )
)
# what aiortc raises of a packet that is none: it is dropped (aiortc_patches/receiving.py)
_NO_PACKET = (ValueError, struct.error)


class Crash(AssertionError):
    """An input was neither accepted nor refused as the contract says."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What targets run on: a live application, its port, the real prompts, a scratch folder."""

    served: Served
    port: int
    prompts: Prompts
    folder: Path


Target = Callable[[bytes, Ground], Awaitable[None]]


@asynccontextmanager
async def ground(folder: Path) -> AsyncIterator[Ground]:
    """Start the application with an engine that inverts pictures."""
    install(TransportSettings())
    many = 10**9
    settings = Settings(token=TOKEN, sessions=4, bad_tokens_per_minute=many)
    worker = Worker(ReadingEngine)
    app = create_app(settings, worker, client=folder)
    text = StaticTextEncoder.from_pretrained(WEIGHTS / "text_encoder")
    async with app.router.lifespan_context(app):
        worker.ready.exception(5)
        served = Served(app, worker, [])
        config = _uvicorn_config(app, settings)
        config.lifespan = "off"
        server = uvicorn.Server(config)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        serving = asyncio.create_task(server._serve([listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn tells in no other way
            await asyncio.sleep(0.01)
        yield Ground(served, port, Prompts(TextEncoder(lambda texts: text.encode(*texts))), folder)
        server.should_exit = True
        await serving
        await served.http.aclose()


async def offer_check(data: bytes, on: Ground) -> None:
    """The gate that an offer passes before any object is made for it."""
    with suppress(MalformedOffer, OfferRefused):
        check_offer(data.decode("utf-8", "replace"))


async def offer(data: bytes, on: Ground) -> None:
    """An offer over HTTP; a session that it makes is ended again."""
    body = {"sdp": data.decode("utf-8", "replace"), "type": "offer"}
    answer = await on.served.http.post("/api/sessions", json=body)
    _check(answer, {201, 400, 413, 422})
    if answer.status_code == 201:
        await on.served.http.delete(answer.headers["location"])
    sessions = on.served.app.state.context.sessions
    if len(sessions):
        raise Crash("a session stayed open")
    await asyncio.gather(*sessions._closing)


async def style(data: bytes, on: Ground) -> None:
    """The body of a PATCH; what is accepted must hold as a whole style."""
    try:
        patch = StylePatch.model_validate_json(data)
    except ValidationError as error:
        json.dumps(describe(error.errors())).encode()
        return
    Style.model_validate(patch.apply(Style()).model_dump()).params()


async def message(data: bytes, on: Ground) -> None:
    """A message of the data channel: the answer is always JSON, never silence."""
    told: list[str] = []

    class Listener:
        def send(self, text: str) -> None:
            told.append(text)

    session = SessionId("fuzz")
    on.served.worker.open(session, Style().params(), lambda restyled: None)
    control = Control(
        session, Style(), (64, 64), on.served.worker, Settings(messages_per_second=1000)
    )
    control.receive(data.decode("utf-8", "replace"), Listener())  # type: ignore[arg-type]  # a part
    await asyncio.gather(*control._tasks)
    on.served.worker.close_session(session)
    if len(told) != 1 or json.loads(told[0].encode())["type"] not in ("applied", "pong", "error"):
        raise Crash(f"answers: {told}")


async def prompt(data: bytes, on: Ground) -> None:
    """A prompt as the embedded model reads it: always finite numbers."""
    try:
        text = Style(prompt=data.decode("utf-8", "replace")).prompt
    except ValidationError:
        return
    if not torch.isfinite(on.prompts.get(text)).all():
        raise Crash("the embedding is not finite")


async def body(data: bytes, on: Ground) -> None:
    """Any body to every route that takes one."""
    headers = {"Content-Type": "application/json"}
    for method, path in (
        ("POST", "/api/sessions"), ("POST", "/api/token"), ("PATCH", "/api/sessions/x"),
    ):  # fmt: skip
        answer = await on.served.http.request(method, path, content=data, headers=headers)
        _check(answer, {400, 401, 404, 413, 422})


async def picture(data: bytes, on: Ground) -> None:
    """A reference picture of any kind."""
    headers = {"Content-Type": "image/png"}
    answer = await on.served.http.post("/api/reference", content=data, headers=headers)
    _check(answer, {200, 413, 422})


async def http(data: bytes, on: Ground) -> None:
    """Raw bytes to the port: an answer below 500, or none; 503 is the page that is not built."""
    reader, writer = await asyncio.open_connection("127.0.0.1", on.port)
    try:
        writer.write(data)
        writer.write_eof()
        with suppress(ConnectionError):
            answer = await asyncio.wait_for(reader.read(), 5)
            for status in re.findall(rb"^HTTP/1.1 (\d+) ", answer, re.MULTILINE):
                if int(status) >= 500 and int(status) != 503:
                    raise Crash(f"answered {answer[:300]!r}")
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def model(data: bytes, on: Ground) -> None:
    """A model folder of which one file is replaced: the first line says which."""
    name, _, content = data.partition(b"\n")
    target = name.decode("latin-1")
    if target not in _MODEL_FILES:
        return
    folder = on.folder / "model"
    shutil.rmtree(folder, ignore_errors=True)
    for file in _MODEL_FILES:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        if file == target:
            (folder / file).write_bytes(content)
        else:
            (folder / file).symlink_to(WEIGHTS / file)
    with suppress(PipelineError):
        found = open_folder(EngineConfig(model=str(folder), width=64, height=64))
        _ = found.sees_source, found.words_shape, found.scaling_factor, found.files()


async def rtp(data: bytes, on: Ground) -> None:
    """Packets of a camera: parsed, unpacked, put in order, asked for again."""
    buffer, asking = MarkerJitterBuffer(512, is_video=True), PatientNackGenerator()
    for piece in _pieces(data):
        try:
            packet = RtpPacket.parse(piece, _EXTENSIONS)
            codec = _H264 if packet.payload_type == _H264.payloadType else _VP8
            unpacked = depayload(codec, packet.payload) if packet.payload else b""
        except _NO_PACKET:
            continue
        packet._data = unpacked  # type: ignore[attr-defined]  # aiortc's
        asking.add(packet)
        _, frame = buffer.add(packet)
        if isinstance(frame, Frames):
            frame.all()


async def rtcp(data: bytes, on: Ground) -> None:
    """What the other side reports of what it gets."""
    sender = RTCRtpSender("video", _Wire())
    vars(sender)["_RTCRtpSender__encoder"] = encoder = FastH264Encoder()
    for piece in _pieces(data):
        with suppress(*_NO_PACKET):
            for packet in RtcpPacket.parse(piece):
                for one in getattr(packet, "reports", ()):
                    one.ssrc = sender._ssrc
                await handle_feedback(sender, packet)
    if not TransportSettings().min_bitrate <= encoder.target_bitrate <= 8_000_000:
        raise Crash(f"{encoder.target_bitrate} bits a second")


async def sctp(data: bytes, on: Ground) -> None:
    """Chunks of a data channel's association; what is too much ends it."""
    association = RTCSctpTransport(_Wire())  # type: ignore[arg-type]  # a part
    association._association_state = association.State.ESTABLISHED
    association._last_received_tsn = association._remote_port = 0
    head = struct.pack("!HHL", 5000, 5000, association._local_verification_tag)
    with suppress(ConnectionError):
        for piece in _pieces(data):
            checksum = rtcsctptransport.crc32c(head + bytes(4) + piece)
            await association._handle_data(head + struct.pack("<L", checksum) + piece)
    await association.stop()


async def datagram(data: bytes, on: Ground) -> None:
    """What a stranger sends to a session's port: nothing of it passes, nothing of it raises."""
    socket, passed, _ = port()
    for piece in _pieces(data):
        receive_datagram(socket, piece, STRANGER)
    if passed:
        raise Crash(f"passed: {passed}")


async def vp8(data: bytes, on: Ground) -> None:
    """Frames of VP8: pictures or none."""
    await _decode(_VP8, data)


async def h264(data: bytes, on: Ground) -> None:
    """Frames of H.264: pictures or none."""
    await _decode(_H264, data)


async def _decode(codec: RTCRtpCodecParameters, data: bytes) -> None:
    encoded: queue.Queue[tuple[RTCRtpCodecParameters, JitterFrame] | None] = queue.Queue()
    decoded: asyncio.Queue[av.VideoFrame | None] = asyncio.Queue()
    for index, piece in enumerate(_pieces(data)[:4]):  # more would count as a backlog
        encoded.put((codec, JitterFrame(piece, index * 3000)))
    encoded.put(None)
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(decode_frames, loop, encoded, decoded, threading.Event())
    while (picture := await asyncio.wait_for(decoded.get(), 5)) is not None:
        if picture.width * picture.height > 1920 * 1088 or picture.format.name != "yuv420p":
            raise Crash(f"{picture}")


async def osc(data: bytes, on: Ground) -> None:
    """A packet of style changes."""
    with suppress(OscError):
        for address, arguments in parse_packet(data):
            style_change(address, arguments)


async def link(data: bytes, on: Ground) -> None:
    """What a media process says to the server: messages, or nonsense that is told as such."""
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    talk = Link(reader, None)  # type: ignore[arg-type]  # nothing is sent
    with suppress(EOFError, ValueError):
        while True:
            message, _ = await talk.receive()
            json.dumps(message)


class _Wire:
    """A DTLS transport that is only an end."""

    state, _role, _stats_id = "connected", "server", "wire"

    async def _send_data(self, data: bytes) -> None: ...

    async def _send_rtp(self, data: bytes) -> None: ...

    def _unregister_data_receiver(self, receiver: object) -> None: ...


def _pieces(data: bytes) -> list[bytes]:
    """Take several pieces out of one input: each after two bytes that say how long it is."""
    found = []
    while len(data) > 2:
        end = 2 + int.from_bytes(data[:2], "big")
        found.append(data[2:end])
        data = data[end:]
    return found


def _check(answer: httpx.Response, expected: set[int]) -> None:
    if answer.status_code not in expected:
        raise Crash(f"answered {answer.status_code}: {answer.text}")


TARGETS: dict[str, Target] = {
    "offer_check": offer_check, "offer": offer, "style": style, "message": message,
    "prompt": prompt, "body": body, "picture": picture, "http": http, "model": model, "rtp": rtp,
    "rtcp": rtcp, "sctp": sctp, "datagram": datagram, "vp8": vp8, "h264": h264, "osc": osc,
    "link": link,
}  # fmt: skip
CORPUS = Path(__file__).parent / "corpus"
# the same samples serve two targets
FOLDER = {name: CORPUS / ("offer" if name == "offer_check" else name) for name in TARGETS}
