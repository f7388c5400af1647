import socket
from pathlib import Path

import pytest

from server import doctor
from server.auth import Codes, load_token
from server.settings import SettingsError, load_settings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"port": 0}, ("port", "0")),
        ({"width": 250}, ("width 250", "multiple of 8")),
        ({"token": "short"}, ("token", "16")),
        ({"host": "0.0.0.0"}, ("host 0.0.0.0", "tls_cert")),
        ({"tls_cert": Path("x")}, ("tls_key",)),
        ({"colour": 1}, ("colour",)),
        ({"feature_bank": 5}, ("feature_bank 5", "0 to 4")),
        ({"feature_bank": 1, "backend": "openvino"}, ("feature_bank 1", "openvino", "eager")),
        ({"feature_bank": 1, "feature_merge": 17}, ("feature_merge 17", "0 to 16")),
        ({"feature_bank": 2, "feature_merge": 4}, ("feature_merge 4", "feature_bank 1")),
        ({"feature_fusion": 0.5}, ("feature_fusion 0.5", "feature_bank")),
        ({"feature_anchor": True}, ("feature_anchor", "feature_bank")),
        ({"device": "tpu"}, ("device", "cuda")),
    ],
)
def test_a_wrong_setting_is_named(given: dict[str, object], words: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(**given)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_environment_is_read_and_options_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTYLE_PORT", "9001")
    monkeypatch.setenv("RESTYLE_HOSTS", "one.example, two.example")
    assert load_settings().port == 9001
    assert load_settings(port=9002).port == 9002
    assert {"one.example", "two.example", "localhost"} <= load_settings().allowed_hosts


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://Player.Example/", "https://player.example"),
        ("HTTPS://player.example:443", "https://player.example"),
        ("http://player.example:443/", "http://player.example:443"),
        ("http://[2001:DB8::80]:80", "http://[2001:db8::80]"),
        ("http://[2001:db8::80]", "http://[2001:db8::80]"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ],
)
def test_an_origin_is_known_however_it_is_written(written: str, sent: str) -> None:
    assert load_settings(origins=f"{written}, https://other.example").origins == [
        sent, "https://other.example",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "written",
    [
        "player.example", "*", "null", "https://", "https://player.example/page",
        "https://player.example?x", "https://me@player.example", "https://pläyer.example",
        "https://player.example:port", "https://[::1",
    ],
)  # fmt: skip
def test_what_no_browser_sends_as_an_origin_is_refused_at_the_start(written: str) -> None:
    with pytest.raises(SettingsError, match=r"origins: '.*': give scheme://host"):
        load_settings(origins=written)


def test_a_proxy_that_does_tls_opens_other_addresses() -> None:
    assert load_settings(host="0.0.0.0", trusted_proxies="10.0.0.1").host == "0.0.0.0"


def test_the_token_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    first = load_token(None, tmp_path / "restyle")
    assert load_token(None, tmp_path / "restyle") == first
    assert len(first) >= 32
    assert (tmp_path / "restyle" / "token").stat().st_mode & 0o777 == 0o600
    assert load_token("given", tmp_path) == "given"


def test_a_code_ends_by_itself() -> None:
    now = 0.0
    codes = Codes(clock=lambda: now)
    code = codes.new()
    now = 601.0
    assert not codes.use(code)


def test_a_server_on_an_ipv6_address_answers_to_it_and_its_port_can_be_looked_at() -> None:
    there = load_settings(host="2001:db8::1", tls_cert=__file__, tls_key=__file__)
    assert there.url == "https://[2001:db8::1]:8000"
    assert "[2001:db8::1]" in there.allowed_hosts

    try:
        taken = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with taken:
        here = load_settings(host="::1", port=taken.getsockname()[1])
        assert not doctor._is_free(here)
    assert doctor._is_free(here)
