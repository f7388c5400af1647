"""Simulcast (RFC 8853): of a camera that comes in several sizes at once, one is taken.

aiortc knows none of it: it would take the packets of all layers for one picture's, and drop what
repairs one, as no source is named in such an offer.
"""

import re
from collections.abc import Iterator, Mapping
from typing import cast

from aiortc import RTCPeerConnection, RTCRtpReceiver, sdp
from aiortc.codecs import is_rtx
from aiortc.rtcdtlstransport import RtpReceiver, RtpRouter
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket

_LAYER = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
_MARKS = (_LAYER, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id")
_RID = re.compile(r"a=rid:([A-Za-z0-9_-]{1,32}) send ?(.*)")


class LayerRouter(RtpRouter):
    """Takes the place of aiortc's router: knows layers, and repairs of unnamed sources."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: dict[RtpReceiver, str] = {}  # the one that a receiver takes

    def route_rtp(self, packet: RtpPacket) -> RtpReceiver | None:
        """Find who takes a packet; None: nobody does."""
        if self.layers and self._is_of_another_layer(packet):
            return None
        known = packet.ssrc in self.ssrc_table
        receiver = super().route_rtp(packet)
        if not known and isinstance(receiver, RTCRtpReceiver):
            return self._met(receiver, packet)
        return receiver

    def _is_of_another_layer(self, packet: RtpPacket) -> bool:
        marks = packet.extensions
        layer = marks.rtp_stream_id or marks.repaired_rtp_stream_id
        receivers = self.payload_type_table.get(packet.payload_type, ())
        return layer is not None and any(self.layers.get(r, layer) != layer for r in receivers)

    def _met(self, receiver: RTCRtpReceiver, packet: RtpPacket) -> RtpReceiver | None:
        """Remember what a source repairs, if it is one of repairs and the offer did not say."""
        codecs: dict[int, RTCRtpCodecParameters] = vars(receiver)["_RTCRtpReceiver__codecs"]
        repairs: dict[int, int] = vars(receiver)["_RTCRtpReceiver__rtx_ssrc"]
        if packet.ssrc in repairs or not is_rtx(codecs[packet.payload_type]):
            return receiver
        for source, takes in reversed(self.ssrc_table.items()):
            if takes is receiver and source != packet.ssrc and source not in repairs:
                repairs[packet.ssrc] = source
                return receiver
        # a probe, before any picture: once its source was reported on, it is marked no more
        del self.ssrc_table[packet.ssrc]
        return None


def take_one_layer(connection: RTCPeerConnection, offer: str) -> dict[int, list[str]]:
    """Settle which layer of each video comes in; for between the offer and the answer.

    Gives what the answer has to say more, by section: the first layer, the others paused. Which
    one is how large an offer does not say; OBS lists the largest first. Browsers then send the
    one, OBS all, and it gives up where an answer lists fewer.
    """
    sections = sdp.SessionDescription.parse(offer).media
    lines = sdp.grouplines(offer)[1]
    taken = {}
    for transceiver in connection.getTransceivers():
        index = transceiver._get_mline_index()
        assert index is not None  # each comes from a section of the offer
        known = {codec.payloadType for codec in transceiver._codecs}
        layers = _layers(lines[index], known)
        marks = [mark for mark in sections[index].rtp.headerExtensions if mark.uri in _MARKS]
        if not layers or not any(mark.uri == _LAYER for mark in marks):
            continue
        first, *others = layers
        transceiver._headerExtensions += marks
        router = transceiver.receiver.transport._rtp_router
        cast(LayerRouter, router).layers[transceiver.receiver] = first
        listed = ";".join([first, *(f"~{other}" for other in others)])
        taken[index] = [*layers.values(), f"a=simulcast:recv {listed}"]
    return taken


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
