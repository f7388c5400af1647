"""A made-up OBS that speaks as much of obs-websocket 5 as the page asks for.

Source: obs-websocket's docs/generated/protocol.md; RFC 6455 for what carries it.
"""

import asyncio
import json
import struct
from asyncio import StreamReader, StreamWriter
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha1, sha256
from typing import Any

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_SALT, _CHALLENGE = "some salt", "some challenge"
_TEXT, _CLOSE = 1, 8
_AUTHENTICATION_FAILED = 4009


class FakeObs:
    """One scene, `Stage`, and the inputs that were made."""

    def __init__(self, password: str) -> None:
        self.port = 0  # once it listens
        self.kinds = ["ffmpeg_source", "browser_source"]
        self.inputs: dict[str, dict[str, Any]] = {}  # by name: kind and settings
        self._wanted = _hash(_hash(password + _SALT) + _CHALLENGE)

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Shake hands, check the password, answer requests until the other side leaves."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
        assert headers["Sec-WebSocket-Protocol"] == "obswebsocket.json"
        accept = b64encode(sha1(headers["Sec-WebSocket-Key"].encode() + _GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: obswebsocket.json\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        asks = {"challenge": _CHALLENGE, "salt": _SALT}
        _send(writer, 0, {"obsWebSocketVersion": "5.5.0", "rpcVersion": 1, "authentication": asks})
        identify = await _read(reader)
        if identify is None or identify["d"].get("authentication") != self._wanted:
            reason = struct.pack(">H", _AUTHENTICATION_FAILED) + b"Authentication failed."
            writer.write(bytes([0x80 | _CLOSE, len(reason)]) + reason)
        else:
            _send(writer, 2, {"negotiatedRpcVersion": 1})
            while (message := await _read(reader)) is not None:
                asked = message["d"]
                answer = {key: asked[key] for key in ("requestType", "requestId")}
                answer["requestStatus"] = {"result": True, "code": 100}
                answer["responseData"] = self._do(asked["requestType"], asked.get("requestData"))
                _send(writer, 7, answer)
        await writer.drain()
        writer.close()

    def _do(self, request: str, data: Any) -> object:
        match request:
            case "GetInputKindList":
                return {"inputKinds": self.kinds}
            case "GetCurrentProgramScene":
                return {"currentProgramSceneName": "Stage"}
            case "GetInputList":
                return {"inputs": [{"inputName": name} for name in self.inputs]}
            case "GetSceneItemList":
                return {"sceneItems": [{"sourceName": name} for name in self.inputs]}
            case "CreateInput":
                assert data["sceneName"] == "Stage"
                assert data["inputName"] not in self.inputs
                self.inputs[data["inputName"]] = {
                    "kind": data["inputKind"],
                    "settings": data["inputSettings"],
                }
            case "SetInputSettings":
                self.inputs[data["inputName"]]["settings"] |= data["inputSettings"]
            case _:
                raise AssertionError(f"{request} was not expected")
        return {}


@asynccontextmanager
async def fake_obs(password: str) -> AsyncIterator[FakeObs]:
    """Listen on a free port of this machine for as long as the block."""
    obs = FakeObs(password)
    server = await asyncio.start_server(obs.serve, "127.0.0.1", 0)
    async with server:
        obs.port = server.sockets[0].getsockname()[1]
        yield obs


def _hash(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()


def _send(writer: StreamWriter, op: int, data: object) -> None:
    payload = json.dumps({"op": op, "d": data}).encode()
    size = len(payload)  # browsers refuse a length that is written longer than it needs
    length = bytes([size]) if size < 126 else struct.pack(">BH", 126, size)
    writer.write(bytes([0x80 | _TEXT]) + length + payload)


async def _read(reader: StreamReader) -> Any:
    """Give the next message; None: the other side leaves."""
    first, length = await reader.readexactly(2)
    length &= 0x7F  # the other bit says that it is masked, as all of a browser's are
    if length == 126:
        (length,) = struct.unpack(">H", await reader.readexactly(2))
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(length)
    if first & 0x0F == _CLOSE:
        return None
    return json.loads(bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)))
