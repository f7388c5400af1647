"""One encode of a session's pictures for all viewers of the same codec."""

import asyncio
import logging
import time

import av
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from streams.aiortc_patches.sending import is_key, make_encoder
from streams.frame import Encoded, Restyled
from streams.hub import Hub
from streams.outlet import Outlet, OutletClosed
from streams.sinks.viewer import ViewerTrack

logger = logging.getLogger(__name__)

_KEY_EVERY = 0.5  # seconds; a viewer that asks without end must not spoil everyone's picture


class SharedEncode:
    """Encodes the newest picture in a thread and hands the result to each track."""

    def __init__(self, codec: RTCRtpCodecParameters, hub: Hub) -> None:
        self._codec, self._hub = codec, hub
        self._encoder = make_encoder(codec)
        self._outlet: Outlet[Restyled] = Outlet()
        self._sink = self._outlet.put
        self._tracks: list[ViewerTrack] = []
        self._wants_key, self._key_at = True, 0.0
        self._last_number = -1
        hub.add(self._sink)
        self._task = asyncio.create_task(self._run())

    @property
    def empty(self) -> bool:
        """Say whether nobody watches."""
        return not self._tracks

    def add(self, track: ViewerTrack) -> None:
        """Let a track have the pictures from the next key frame on."""
        self._tracks.append(track)

    def remove(self, track: ViewerTrack) -> None:
        """Leave a track out."""
        self._tracks.remove(track)

    def ask_key(self) -> None:
        """Make a coming picture a key frame: the next one, unless one was made just now."""
        self._wants_key = True

    async def close(self) -> None:
        """End the encoding."""
        self._hub.remove(self._sink)
        self._outlet.close()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                shown = await self._outlet.get()
            except OutletClosed:
                return
            if shown.source.number <= self._last_number:
                continue  # bypass was switched on while an older frame was in the engine
            self._last_number = shown.source.number
            force = self._wants_key and time.monotonic() - self._key_at >= _KEY_EVERY
            try:
                encoded = await asyncio.to_thread(self._encode, shown, force)
            except Exception:
                logger.exception("a picture for viewers could not be encoded")
                self._encoder, self._wants_key = make_encoder(self._codec), True
                continue
            if encoded.is_key:
                self._key_at = time.monotonic()
                self._wants_key = self._wants_key and not force
            for track in list(self._tracks):
                track.put(encoded)

    def _encode(self, shown: Restyled, force: bool) -> Encoded:
        # a copy: encoders write the picture's type into it, and the session's own one has it too
        source = shown.picture
        if source.format.name != "yuv420p":
            source = source.reformat(format="yuv420p")
        picture = av.VideoFrame.from_ndarray(source.to_ndarray(), format="yuv420p")
        picture.pts, picture.time_base = shown.source.pts, shown.source.time_base
        payloads, timestamp = self._encoder.encode(picture, force)
        return Encoded(payloads, timestamp, is_key(self._codec, payloads))


class Broadcast:
    """The encodes of one session: one a codec that somebody watches. Lives on the loop."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._encodes: dict[str, SharedEncode] = {}

    def join(self, codec: RTCRtpCodecParameters, track: ViewerTrack) -> None:
        """Let a track have the pictures in a codec."""
        kind = codec.mimeType.lower()
        encode = self._encodes.get(kind)
        if encode is None:
            encode = self._encodes[kind] = SharedEncode(codec, self._hub)
        encode.add(track)

    def ask_key(self, codec: RTCRtpCodecParameters) -> None:
        """Ask for a key frame in a codec."""
        encode = self._encodes.get(codec.mimeType.lower())
        if encode is not None:
            encode.ask_key()

    async def leave(self, codec: RTCRtpCodecParameters, track: ViewerTrack) -> None:
        """Take a track out; the last one of its codec ends the encoding."""
        kind = codec.mimeType.lower()
        encode = self._encodes[kind]
        encode.remove(track)
        if encode.empty:
            del self._encodes[kind]
            await encode.close()
