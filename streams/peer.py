"""One browser: its camera in, the restyled picture out, messages both ways. Knows no HTTP."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.codecs import CODECS, is_rtx
from aiortc.sdp import MediaDescription

from streams.aiortc_patches import offers
from streams.aiortc_patches.answers import keep_opus, with_start_bitrate
from streams.aiortc_patches.simulcast import take_one_layer, with_layers
from streams.errors import MalformedOffer, OfferRefused
from streams.frame import Frame, Restyled
from streams.outlet import Outlet
from streams.sinks.webrtc import RestyledTrack
from streams.sound import SoundDesk, SoundTrack
from streams.sources.webrtc import drain, drain_sound
from streams.stats import Counts

logger = logging.getLogger(__name__)

_DIRECTIONS = {
    "both": ("sendrecv", "sendonly", "recvonly"),
    "send": ("sendonly", "sendrecv"),
    "receive": ("recvonly", "sendrecv"),
}
_MOST_LINES, _MOST_CANDIDATES, _MOST_MEDIA = 2000, 20, 2
_CLOSING = 2.0  # seconds that a connection may take to close


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What a peer tells its session; all are called on the loop and must not wait."""

    on_frame: Callable[[Frame], None]
    on_message: Callable[[str], None]
    on_ended: Callable[[], None]  # the connection is gone for good; called once


def check_offer(text: str, wants: Literal["both", "send", "receive"] = "both") -> None:
    """Check an offer before any object is made for it. Raises MalformedOffer or OfferRefused.

    `wants` is what the other side must be willing to do with its video.
    """
    if not text.startswith("v=0"):
        raise MalformedOffer("the offer's sdp does not begin with v=0")
    if text.count("\n") > _MOST_LINES:
        raise OfferRefused("sdp_too_long", f"the offer has more than {_MOST_LINES} lines")
    try:
        offer = offers.parse(text)
        kinds = [media.kind for media in offer.media]
        candidates = sum(len(media.ice_candidates) for media in offer.media)
        secured = all(media.dtls and media.dtls.fingerprints for media in offer.media)
    except Exception as error:
        raise MalformedOffer("the offer's sdp does not parse") from error
    if "video" not in kinds:
        raise OfferRefused(
            "no_video", f"the offer has {kinds or 'nothing'}; a video track is needed"
        )
    if kinds.count("application") > 1 or len(kinds) - kinds.count("application") > _MOST_MEDIA:
        raise OfferRefused("too_many_media", f"the offer has {kinds}; at most {_MOST_MEDIA} media")
    for media in offer.media:
        _check_codecs(media, sends=wants != "send")
    direction = next(media.direction for media in offer.media if media.kind == "video")
    allowed = _DIRECTIONS[wants]
    if direction not in allowed:
        raise OfferRefused(
            "wrong_direction",
            f"the offer's video is {direction}; it must be {' or '.join(allowed)}",
        )
    if candidates > _MOST_CANDIDATES:
        raise OfferRefused(
            "too_many_candidates", f"{candidates} ICE candidates; at most {_MOST_CANDIDATES}"
        )
    if not secured:
        raise OfferRefused("no_fingerprint", "every media section needs a DTLS fingerprint")


def _check_codecs(media: MediaDescription, sends: bool) -> None:
    """Check that a section has a codec of ours. Raises OfferRefused."""
    ours = CODECS.get(media.kind)
    if ours is None:
        return
    common = offers.common_codecs(ours, media.rtp.codecs)
    needed = sorted({codec.mimeType for codec in ours if not is_rtx(codec)}, reverse=True)
    if common and (media.kind == "audio" or not sends or offers.can_send(common[0])):
        return
    detail = f"the offer has {offers.described(media)}; one of {', '.join(needed)} is needed"
    if any(codec.mimeType.lower() == "video/h264" for codec in media.rtp.codecs):
        detail += f", of H.264 {offers.SENT if sends else offers.TAKEN}"
    raise OfferRefused("no_codec", detail)


class Peer:
    """A peer connection that is read at once and that always closes."""

    def __init__(
        self,
        callbacks: Callbacks,
        stats: Counts,
        sound: SoundDesk,
        ice_servers: Sequence[RTCIceServer] = (),
    ) -> None:
        # an empty list, not None: aiortc's default is a public STUN server
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=list(ice_servers)))
        self._callbacks, self._stats, self._sound = callbacks, stats, sound
        self._outlet: Outlet[Restyled] = Outlet()
        self._control: RTCDataChannel | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._connection.on("track", self._on_track)
        self._connection.on("datachannel", self._on_channel)
        self._connection.on("connectionstatechange", self._on_state)

    @property
    def state(self) -> str:
        """What RTCPeerConnection.connectionState says."""
        return str(self._connection.connectionState)

    async def accept(self, offer: str, sends: bool = True) -> str:
        """Answer an offer; without `sends` nothing goes back to this peer.

        Raises MalformedOffer or OfferRefused; close the peer then.
        """
        check_offer(offer, "both" if sends else "send")
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            hears = keep_opus(self._connection)
            layers = take_one_layer(self._connection, offer)
            if sends and hears:
                sound = SoundTrack()
                self._connection.addTrack(sound)
                self._sound.add(sound.put)
            if sends:
                self._connection.addTrack(RestyledTrack(self._outlet, self._stats))
            answer = await self._connection.createAnswer()
            await self._connection.setLocalDescription(answer)
        except Exception as error:
            raise MalformedOffer("the offer cannot be answered") from error
        return with_start_bitrate(with_layers(self._connection.localDescription.sdp, layers))

    def show(self, restyled: Restyled) -> None:
        """Send a picture; from any thread, never waits, the newest wins."""
        self._outlet.put(restyled)

    def send(self, text: str) -> None:
        """Send a control message, if the channel is open and its reader keeps up."""
        control = self._control
        if control is not None and control.readyState == "open" and control.bufferedAmount < 2**18:
            control.send(text)

    async def close(self) -> None:
        """Close everything; takes two seconds at most and may be called again."""
        if self._closing:
            return
        self._closing = True
        self._outlet.close()
        closing = asyncio.ensure_future(self._connection.close())
        done, _ = await asyncio.wait([closing], timeout=_CLOSING)
        if closing not in done:
            closing.cancel()  # a broken connection may never close
        elif closing.exception() is not None:
            logger.debug("a connection closed badly: %s", closing.exception())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._run(
            drain(track, self._on_frame)
            if track.kind == "video"
            else drain_sound(track, self._sound.put)
        )

    def _on_frame(self, frame: Frame) -> None:
        self._stats.came_in()
        self._callbacks.on_frame(frame)

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label != "control" or self._control is not None:
            channel.close()
            return
        self._control = channel
        channel.on("message", self._on_message)

    def _on_message(self, message: str | bytes) -> None:
        self._callbacks.on_message(
            message if isinstance(message, str) else message.decode(errors="replace")
        )

    def _on_state(self) -> None:
        if self.state in ("failed", "closed") and not self._closing:
            self._callbacks.on_ended()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
