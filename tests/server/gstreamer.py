"""A publisher (WHIP) and a player (WHEP): GStreamer's webrtcbin, run by the system's Python.

Debian: python3-gi, gir1.2-gst-plugins-bad-1.0, gstreamer1.0-nice, gstreamer1.0-plugins-base, -good,
-bad and -ugly.

    gstreamer.py known            ends with 0 if all that is needed is installed
    gstreamer.py publish URL TOKEN vp8|h264    sends a grey picture, until it is killed
    gstreamer.py play URL TOKEN vp8|h264       prints the grey level of each picture that it decodes
"""

import os
import sys
import urllib.request
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402 - after the versions

_ENCODERS = {
    "vp8": "vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay",
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=500 "
    "! rtph264pay config-interval=-1",
}
_DECODERS = {"vp8": "rtpvp8depay ! vp8dec", "h264": "rtph264depay ! h264parse ! openh264dec"}
_NEEDED = (
    "webrtcbin", "nicesrc", "dtlsdec", "srtpdec", "vp8enc", "vp8dec", "rtpvp8pay", "x264enc",
    "h264parse", "openh264dec",
)  # fmt: skip


class Peer:
    """One webrtcbin that offers over HTTP once it has gathered its addresses."""

    def __init__(self, url: str, token: str, codec: str) -> None:
        self._url, self._token, self._codec = url, token, codec
        self._pipeline: Any = None
        self._web: Any = None

    def publish(self) -> None:
        """Send a grey picture of 64 × 64, thirty times a second."""
        caps = f"application/x-rtp,media=video,encoding-name={self._codec.upper()},payload=96"
        self._begin(
            "videotestsrc is-live=true pattern=solid-color foreground-color=0xff3c3c3c "
            "! video/x-raw,width=64,height=64,framerate=30/1 ! videoconvert "
            f"! {_ENCODERS[self._codec]} ! {caps} ! webrtcbin name=web bundle-policy=max-bundle"
        )
        self._web.emit("get-transceiver", 0).set_property(
            "direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY
        )
        self._pipeline.set_state(Gst.State.PLAYING)

    def play(self) -> None:
        """Print the grey level of each picture that comes."""
        self._begin("webrtcbin name=web bundle-policy=max-bundle")
        caps = (
            f"application/x-rtp,media=video,encoding-name={self._codec.upper()},payload=96,"
            "clock-rate=90000"
        )
        if self._codec == "h264":
            caps += ',packetization-mode=(string)1,profile-level-id=(string)"42e01f"'
        self._web.connect("pad-added", self._show)
        self._web.emit(
            "add-transceiver",
            GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY,
            Gst.Caps.from_string(caps),
        )
        self._pipeline.set_state(Gst.State.PLAYING)

    def _begin(self, description: str) -> None:
        self._pipeline = Gst.parse_launch(f"pipeline.( {description} )")
        self._web = self._pipeline.get_by_name("web")
        self._agent = self._web.get_property("ice-agent")  # kept: it goes with its last reference
        self._agent.emit("add-local-ip-address", "127.0.0.1")
        self._web.connect("on-negotiation-needed", self._offer)
        self._web.connect("notify::ice-gathering-state", self._gathered)
        bus = self._pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", _fail)

    def _offer(self, web: Any) -> None:
        web.emit("create-offer", None, Gst.Promise.new_with_change_func(self._offered, None))

    def _offered(self, promise: Any, *_: object) -> None:
        reply = promise.get_reply()  # the offer lives as long as this
        self._web.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def _gathered(self, web: Any, _: object) -> None:
        if web.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self._post)

    def _post(self) -> None:
        request = urllib.request.Request(
            self._url,
            self._web.get_property("local-description").sdp.as_text().encode(),
            {"Content-Type": "application/sdp", "Authorization": f"Bearer {self._token}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            _, message = GstSdp.SDPMessage.new_from_text(answer.read().decode())
        kind = GstWebRTC.WebRTCSDPType.ANSWER
        described = GstWebRTC.WebRTCSessionDescription.new(kind, message)
        self._web.emit("set-remote-description", described, Gst.Promise.new())

    def _show(self, _: object, pad: Any) -> None:
        tail = Gst.parse_bin_from_description(
            f"{_DECODERS[self._codec]} ! videoconvert ! video/x-raw,format=RGB "
            "! appsink name=shown emit-signals=true sync=false",
            True,
        )
        tail.get_by_name("shown").connect("new-sample", _print)
        self._pipeline.add(tail)
        pad.link(tail.get_static_pad("sink"))
        tail.sync_state_with_parent()


def _print(shown: Any) -> Any:
    data = shown.emit("pull-sample").get_buffer().extract_dup(0, 64)
    sys.stdout.write(f"{sum(data) / len(data)}\n")
    sys.stdout.flush()
    return Gst.FlowReturn.OK


def _fail(_: object, message: Any) -> None:
    raise RuntimeError(message.parse_error()[0].message)


def _end(*what: Any) -> None:
    """End the program: an exception in a callback of GLib would only be printed."""
    sys.__excepthook__(*what)
    os._exit(1)


def main() -> None:
    """Run one of the commands."""
    sys.excepthook = _end
    Gst.init(None)
    if sys.argv[1] == "known":
        sys.exit(not all(Gst.ElementFactory.find(name) for name in _NEEDED))
    peer = Peer(*sys.argv[2:5])
    peer.publish() if sys.argv[1] == "publish" else peer.play()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
