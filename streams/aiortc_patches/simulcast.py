"""Simulcast: of a camera that comes in several sizes at once, one is taken.

Layers are told apart by marks on their packets (RFC 8853), or by their sources' numbers, in the
older way of `a=ssrc-group:SIM`. aiortc knows neither: it would take the packets of all layers for
one picture's, and drop what repairs one, as no source is named in an offer of the first kind.
"""

import asyncio
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from aiortc import RTCPeerConnection, RTCRtpReceiver, sdp
from aiortc.codecs import depayload, is_rtx
from aiortc.rtcdtlstransport import RtpReceiver, RtpRouter, RtpSender
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import AnyRtcpPacket, RtcpByePacket, RtpPacket

from streams.jitter import MarkerJitterBuffer, PatientNackGenerator, begins_key
from streams.layers import Layer, LayerChoice

_LAYER = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
_MARKS = (_LAYER, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id")
_PART = "_RTCRtpReceiver__"  # begins the names of what a receiver has inside
_CAPACITY = 512  # packets that a receiver holds of a camera
_SMALL_FIRST = ("qhf", "lmh", ("low", "mid", "high"), ("low", "medium", "high"))
_SIDE = re.compile(r"\bmax-(width|height)=(\d{1,5})\b")
_RID = re.compile(r"a=rid:([A-Za-z0-9_-]{1,32}) send ?(.*)")


class LayerRouter(RtpRouter):
    """Takes the place of aiortc's router: knows layers, and repairs of unnamed sources."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: dict[RtpReceiver, Layers] = {}  # of those that are sent some

    def route_rtcp(self, packet: AnyRtcpPacket) -> set[RtpReceiver | RtpSender]:
        """Find who takes a report. Nobody takes a goodbye, at which aiortc ends the track for good:
        other layers go on, and this one may come back. The connection's end ends the track anyway.
        """
        return set() if isinstance(packet, RtcpByePacket) else super().route_rtcp(packet)

    def route_rtp(self, packet: RtpPacket) -> RtpReceiver | None:
        """Find who takes a packet; None: nobody does."""
        for layered in self.payload_type_table.get(packet.payload_type, ()):
            if layered in self.layers:
                # known from now on, dropped or not: who sends under ever new names is found out
                self.ssrc_table.setdefault(packet.ssrc, layered)
                return layered if self.layers[layered].take(packet) else None
        known = packet.ssrc in self.ssrc_table
        receiver = super().route_rtp(packet)
        if not known and isinstance(receiver, RTCRtpReceiver):
            return self._met(receiver, packet)
        return receiver

    def _met(self, receiver: RTCRtpReceiver, packet: RtpPacket) -> RtpReceiver | None:
        """Remember what a source repairs, if it is one of repairs and the offer did not say."""
        codecs: dict[int, RTCRtpCodecParameters] = vars(receiver)[_PART + "codecs"]
        repairs: dict[int, int] = vars(receiver)[_PART + "rtx_ssrc"]
        if packet.ssrc in repairs or not is_rtx(codecs[packet.payload_type]):
            return receiver
        for source, takes in reversed(self.ssrc_table.items()):
            if takes is receiver and source != packet.ssrc and source not in repairs:
                repairs[packet.ssrc] = source
                return receiver
        # a probe, before any picture: once its source was reported on, it is marked no more
        del self.ssrc_table[packet.ssrc]
        return None


class Layers:
    """The layers that a receiver is sent, of which it gets one at a time."""

    def __init__(
        self, receiver: RTCRtpReceiver, best_first: Sequence[Layer], repaired: Mapping[int, int]
    ) -> None:
        self._receiver, self._repaired = receiver, repaired  # source of repairs → what it repairs
        self._choice = LayerChoice(best_first)
        self._marked: dict[int, str] = {}  # source → the layer that its marks name
        self._source = 0  # of the layer that is taken
        self._heard_at = 0.0
        self._asking: set[asyncio.Task[None]] = set()

    def take(self, packet: RtpPacket) -> bool:
        """Say whether a packet is the receiver's; make that ready for another layer's first."""
        marks, codec = packet.extensions, self._part("codecs")[packet.payload_type]
        mark = marks.repaired_rtp_stream_id or marks.rtp_stream_id
        if mark is not None:
            self._marked[packet.ssrc] = mark
        if is_rtx(codec):
            return self._repairs(packet.ssrc)
        verdict = self._choice.meet(
            self._layer(packet.ssrc), packet.timestamp, _begins_key(codec, packet)
        )
        if verdict == "ask":
            self._ask(packet.ssrc)
        elif verdict == "begin":
            self._begin(codec, packet)
        if verdict in ("drop", "ask"):
            return False
        self._source, self._heard_at = packet.ssrc, time.monotonic()
        return True

    def _layer(self, source: int) -> Layer:
        return self._marked.get(source, source)

    def _repairs(self, source: int) -> bool:
        """Say whether a source repairs the layer that is taken, and let the receiver know."""
        layer = self._marked.get(source) or self._layer(self._repaired.get(source, source))
        if layer != self._choice.taken:
            return False
        self._part("rtx_ssrc")[source] = self._source
        return True

    def _ask(self, source: int) -> None:
        asking = asyncio.ensure_future(self._receiver._send_rtcp_pli(source))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    def _begin(self, codec: RTCRtpCodecParameters, packet: RtpPacket) -> None:
        """Begin anew with the numbers of packets, which each layer counts for itself; go on with
        the time of pictures, which each layer may count from elsewhere.
        """
        parts, mapper = vars(self._receiver), self._part("timestamp_mapper")
        parts[_PART + "jitter_buffer"] = MarkerJitterBuffer(_CAPACITY, is_video=True)
        parts[_PART + "nack_generator"] = PatientNackGenerator()
        self._part("remote_streams").pop(packet.ssrc, None)  # what was dropped was not lost
        if mapper._last is not None:
            gone = max(1, round((time.monotonic() - self._heard_at) * codec.clockRate))
            mapper._origin = packet.timestamp - (mapper._last - mapper._origin) - gone
            mapper._last = packet.timestamp

    def _part(self, name: str) -> Any:
        return vars(self._receiver)[_PART + name]


def _begins_key(codec: RTCRtpCodecParameters, packet: RtpPacket) -> bool:
    try:
        return begins_key(depayload(codec, packet.payload))
    except ValueError:
        return False


def take_one_layer(connection: RTCPeerConnection, offer: str) -> dict[int, list[str]]:
    """Settle which layers of each video may come in; for between the offer and the answer.

    Gives what the answer has to say more, by section: of layers that bear marks the best is asked
    for, the others paused. Browsers then send the one, OBS all, and it gives up where an answer
    lists fewer.
    """
    sections = sdp.SessionDescription.parse(offer).media
    lines = sdp.grouplines(offer)[1]
    taken = {}
    for transceiver in connection.getTransceivers():
        index = transceiver._get_mline_index()
        assert index is not None  # each comes from a section of the offer
        if transceiver.kind != "video":
            continue
        known = {codec.payloadType for codec in transceiver._codecs}
        layers = _layers(lines[index], known)
        marks = [mark for mark in sections[index].rtp.headerExtensions if mark.uri in _MARKS]
        best_first: list[Layer] = [*_sources(sections[index])]
        if layers and any(mark.uri == _LAYER for mark in marks):
            best, *others = _best_first(layers)
            best_first = [best, *others]
            transceiver._headerExtensions += marks
            listed = ";".join(layer if layer == best else f"~{layer}" for layer in layers)
            taken[index] = [*layers.values(), f"a=simulcast:recv {listed}"]
        if best_first:
            receiver = transceiver.receiver
            router = cast(LayerRouter, receiver.transport._rtp_router)
            router.layers[receiver] = Layers(receiver, best_first, _repaired(sections[index]))
    return taken


def _best_first(layers: Mapping[str, str]) -> list[str]:
    """Order layers by size: by what all of them say, or by the names that many give them, quarter,
    half, full or low, mid, high. Else as they are listed: OBS begins with the largest.
    """
    sizes = {layer: _most_pixels(line) for layer, line in layers.items()}
    if all(sizes.values()):
        return sorted(layers, key=lambda layer: -(sizes[layer] or 0))
    for names in _SMALL_FIRST:
        if layers.keys() <= set(names):
            return sorted(layers, key=names.index, reverse=True)
    return [*layers]


def _most_pixels(line: str) -> int | None:
    """Give the pixels that a layer's restrictions (RFC 8851) allow; None: they do not say."""
    most = dict(_SIDE.findall(line))
    return int(most["width"]) * int(most["height"]) if len(most) == 2 else None


def _sources(media: sdp.MediaDescription) -> list[int]:
    """Give the sources of layers without marks, the best first: Chromium lists the smallest first
    and stops the last one first on a thin line; RFC 5576 leaves the order open.
    """
    groups = _groups(media, "SIM")
    return groups[0][::-1] if groups and len(groups[0]) > 1 else []


def _repaired(media: sdp.MediaDescription) -> dict[int, int]:
    """Say what each source of repairs repairs (FID), as far as an offer does."""
    pairs = [group for group in _groups(media, "FID") if len(group) == 2]
    return {repairs: source for source, repairs in pairs}


def _groups(media: sdp.MediaDescription, of: str) -> list[list[int]]:
    return [[*map(int, group.items)] for group in media.ssrc_group if group.semantic == of]


def with_layers(answer: str, taken: Mapping[int, list[str]]) -> str:
    """Say in an answer which layers come in."""
    session, media = sdp.grouplines(answer)
    for index, lines in taken.items():
        media[index] += lines
    return "\r\n".join([*session, *(line for section in media for line in section), ""])


def _layers(section: list[str], known: set[int | None]) -> dict[str, str]:
    """Find the layers that are sent in a codec that we know, each with its line of the answer."""
    lines = dict(_rid_lines(section, known))
    offered = next((x for x in section if x.startswith("a=simulcast:")), "")
    words = offered.removeprefix("a=simulcast:").split()
    streams = words[words.index("send") + 1].split(";") if "send" in words[:-1] else []
    found = {}
    for stream in streams:  # each of alternatives, of which a paused one begins with ~
        layer = next((one for one in stream.split(",") if one in lines), None)
        if layer is not None:
            found[layer] = lines[layer]
    return found


def _rid_lines(section: list[str], known: set[int | None]) -> Iterator[tuple[str, str]]:
    for line in section:
        match = _RID.fullmatch(line.strip())
        limits = None if match is None else _limits(match[2], known)
        if match is not None and limits is not None:
            yield match[1], f"a=rid:{match[1]} recv {limits}".rstrip()


def _limits(offered: str, known: set[int | None]) -> str | None:
    """Give a layer's restrictions as an answer repeats them; None: it comes in no codec of ours."""
    limits = []
    for limit in (part.strip() for part in offered.split(";")):
        if limit.startswith("pt="):
            types = [x for x in limit[3:].split(",") if x.isdecimal() and int(x) in known]
            if not types:
                return None
            limit = f"pt={','.join(types)}"
        limits.append(limit)
    return ";".join(limits)
