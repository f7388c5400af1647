"""One viewer: the restyled picture and its sound out, nothing in."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc import sdp as sdp_parser
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from streams.aiortc_patches.answers import keep_opus
from streams.aiortc_patches.sending import on_key_request
from streams.broadcast import Broadcast
from streams.errors import MalformedOffer
from streams.peer import check_offer
from streams.sinks.viewer import ViewerTrack
from streams.sound import SoundDesk, SoundTrack

logger = logging.getLogger(__name__)
_CLOSING = 2.0  # seconds that a connection may take to close


class Viewer:
    """A peer connection that only sends, from a shared encode; it always closes."""

    def __init__(
        self,
        broadcast: Broadcast,
        sound: SoundDesk,
        on_ended: Callable[[], None],
        ice_servers: Sequence[RTCIceServer] = (),
    ) -> None:
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=list(ice_servers)))
        self._broadcast, self._on_ended = broadcast, on_ended
        self._desk, self._sound = sound, SoundTrack()
        self._codec: RTCRtpCodecParameters | None = None
        self._track = ViewerTrack(self._ask_key)
        self._closing = False
        self._connection.on("connectionstatechange", self._on_state)

    @property
    def connected(self) -> bool:
        """Say whether it is watching."""
        return bool(self._connection.connectionState == "connected")

    async def accept(self, offer: str) -> str:
        """Answer an offer. Raises MalformedOffer or OfferRefused; close the viewer then."""
        check_offer(offer, wants="receive")
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            hears = keep_opus(self._connection)
            if hears:
                self._connection.addTrack(self._sound)
            sender = self._connection.addTrack(self._track)
            on_key_request(sender, self._ask_key)
            for transceiver in self._connection.getTransceivers():  # nobody looks at what comes
                sends = transceiver.sender.track is not None
                transceiver.direction = "sendonly" if sends else "inactive"
            await self._connection.setLocalDescription(await self._connection.createAnswer())
            answer: str = self._connection.localDescription.sdp
            media = sdp_parser.SessionDescription.parse(answer).media
            codec = next(m for m in media if m.kind == "video").rtp.codecs[0]
        except Exception as error:
            raise MalformedOffer("the offer cannot be answered") from error
        if not self._closing:
            self._codec = codec
            self._broadcast.join(codec, self._track)
            if hears:
                self._desk.add(self._sound.put)
        return answer

    async def close(self) -> None:
        """Close everything; takes two seconds at most and may be called again."""
        if self._closing:
            return
        self._closing = True
        self._track.stop()
        self._desk.remove(self._sound.put)
        self._sound.stop()
        if self._codec is not None:
            await self._broadcast.leave(self._codec, self._track)
        closing = asyncio.ensure_future(self._connection.close())
        done, _ = await asyncio.wait([closing], timeout=_CLOSING)
        if closing not in done:
            closing.cancel()  # a broken connection may never close
        elif closing.exception() is not None:
            logger.debug("a viewer closed badly: %s", closing.exception())

    def _ask_key(self) -> None:
        if self._codec is not None:
            self._broadcast.ask_key(self._codec)

    def _on_state(self) -> None:
        if self._connection.connectionState in ("failed", "closed") and not self._closing:
            self._on_ended()
