"""What is fuzzed: each target takes bytes, which must be refused or accepted, and nothing else."""

import asyncio
import json
import re
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import torch
import uvicorn
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
from server.schema.style import Style, StylePatch
from server.serve import _uvicorn_config
from server.settings import Settings
from streams.aiortc_patches import TransportSettings, install
from streams.errors import MalformedOffer, OfferRefused
from streams.frame import SessionId
from streams.peer import check_offer
from streams.worker import Worker
from tests.server.conftest import TOKEN, Served
from tests.streams.fakes import FakeEngine

_MODEL_FILES = (
    "model_index.json", "styles.json", "scheduler/scheduler_config.json", "unet/config.json",
    "vae/config.json", "text_encoder/config.json", "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors",
)  # fmt: skip


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
    worker = Worker(FakeEngine)
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
    control = Control(session, Style(), (64, 64), on.served.worker, 1000)
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


def _check(answer: httpx.Response, expected: set[int]) -> None:
    if answer.status_code not in expected:
        raise Crash(f"answered {answer.status_code}: {answer.text}")


TARGETS: dict[str, Target] = {
    "offer_check": offer_check, "offer": offer, "style": style, "message": message,
    "prompt": prompt, "body": body, "http": http, "model": model,
}  # fmt: skip
CORPUS = Path(__file__).parent / "corpus"
# the same samples serve two targets
FOLDER = {name: CORPUS / ("offer" if name == "offer_check" else name) for name in TARGETS}
