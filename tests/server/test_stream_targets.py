"""Which addresses may be streamed to."""

import pytest

from server.settings import SettingsError, load_settings
from server.stream_targets import TargetError, allowed, parse_target

LIST = ["srt://127.0.0.1:9000", "rtmp://127.0.0.1/live", "rtmps://a.rtmps.youtube.com/live2"]


@pytest.mark.parametrize(
    "url",
    [
        "rtmp://127.0.0.1/live/key",
        "rtmp://127.0.0.1:1935/live",
        "srt://127.0.0.1:9000",
        "RTMP://127.0.0.1/live/key?token=1",
        "rtmps://A.RTMPS.YouTube.com:443/live2/abcd-efgh",
    ],
)
def test_what_is_on_the_list_and_below_it_is_allowed(url: str) -> None:
    assert allowed(parse_target(url), LIST)


@pytest.mark.parametrize(
    "url",
    [
        "rtmp://127.0.0.1:1936/live/key",
        "srt://127.0.0.1:9001",
        "rtmp://127.0.0.1/liver/key",
        "rtmp://127.0.0.1/",
        "rtmp://127.0.0.2/live/key",
        "rtmps://127.0.0.1/live/key",
        "rtmp://127.0.0.1.evil.example/live/key",
        "rtmps://a.rtmps.youtube.com/live/key",
    ],
)
def test_all_else_is_not(url: str) -> None:
    assert not allowed(parse_target(url), LIST)
    assert not allowed(parse_target("rtmp://127.0.0.1/live/key"), [])


@pytest.mark.parametrize(
    "url",
    [
        "", "live/key", "http://127.0.0.1/live", "file:///etc/passwd", "rtmp:///live",
        "rtmp://127.0.0.1/live listen=1", "rtmp://127.0.0.1/live\nkey", "rtmp://127.0.0.1/lïve",
        "rtmp://me:secret@127.0.0.1/live", "rtmp://127.0.0.1:99999/live", "rtmp://[::1/live",
        "srt://127.0.0.1", "srt://127.0.0.1:9?mode=listener", "srt://127.0.0.1:9/secret",
        "rtmp://127.0.0.1/live/../admin", "rtmp://127.0.0.1/live/%2e%2e/admin",
        "rtmp://127.0.0.1/live/.%2E/admin", "rtmp://127.0.0.1/live/x%2f..%2f..%2fadmin",
        "rtmp://127.0.0.1/live#secret", "rtmp://h/" + "a" * 1000,
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(TargetError) as refused:
        parse_target(url)
    assert "secret" not in str(refused.value)


def test_a_key_is_joined_and_never_shown() -> None:
    target = parse_target("rtmp://127.0.0.1/live/", "secret")
    assert target.url == "rtmp://127.0.0.1/live/secret"
    assert target.shown == "rtmp://127.0.0.1:1935"
    with pytest.raises(TargetError):
        parse_target("rtmp://127.0.0.1/live", "../secret")


def test_a_setting_that_is_no_address_is_refused_at_the_start() -> None:
    assert load_settings(stream_targets=",".join(LIST)).stream_targets == LIST
    with pytest.raises(SettingsError, match=r"stream_targets: not of the form rtmp://host"):
        load_settings(stream_targets="127.0.0.1")
