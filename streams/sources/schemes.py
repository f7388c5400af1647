"""What addresses of sources begin with: settings check theirs before anything heavy is loaded."""

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "http", "https")
