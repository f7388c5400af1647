"""What an answer agrees on, beyond what aiortc says of itself."""

from aiortc import RTCPeerConnection


def keep_opus(connection: RTCPeerConnection) -> bool:
    """Agree on Opus and nothing else for sound, as far as it was offered; say whether it was.

    For between the offer and the answer: with another codec first in the list, packets of Opus
    would be sent under its name.
    """
    found = False
    for transceiver in connection.getTransceivers():
        opus = [c for c in transceiver._codecs if c.mimeType.lower() == "audio/opus"]
        if transceiver.kind == "audio" and opus:
            transceiver._codecs = opus  # its preferences count before the offer only
            found = True
    return found


def with_start_bitrate(sdp: str, kbps: int = 3000) -> str:
    """Ask Chrome to start at a bitrate, by its own parameter in each video codec's fmtp line."""
    lines = sdp.split("\r\n")
    video, wanted = False, set()
    for line in lines:
        if line.startswith("m="):
            video = line.startswith("m=video")
        if (
            video
            and line.startswith("a=rtpmap:")
            and line.split(" ")[1].startswith(("VP8/", "H264/"))
        ):
            wanted.add(line[len("a=rtpmap:") :].split(" ")[0])
    out = []
    for line in lines:
        payload = line[len("a=fmtp:") :].split(" ")[0] if line.startswith("a=fmtp:") else ""
        if payload in wanted:
            wanted.discard(payload)
            line += f";x-google-start-bitrate={kbps}"
        out.append(line)
    for payload in wanted:  # VP8 has no fmtp line of its own
        at = next(i for i, line in enumerate(out) if line.startswith(f"a=rtpmap:{payload} "))
        out.insert(at + 1, f"a=fmtp:{payload} x-google-start-bitrate={kbps}")
    return "\r\n".join(out)
