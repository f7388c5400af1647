import socket
from pathlib import Path

import pytest

from server import doctor
from server.auth import Codes, load_token
from server.settings import SettingsError, load_settings, unknown_variables


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
        ({"token": "0123456789 abcdef"}, ("token", "without spaces")),
        ({"token": "ä" * 16}, ("token", "ASCII")),
        ({"host": ""}, ("host", "a name or an address")),
        ({"hosts": "http://studio.local"}, ("hosts", "http://studio.local")),
        ({"hosts": "studio.local:8000"}, ("hosts", "studio.local:8000")),
        ({"trusted_proxies": "traefik"}, ("trusted_proxies", "traefik", "10.0.0.0/8")),
        ({"trusted_proxies": "10.0.0.1/8"}, ("trusted_proxies", "10.0.0.1/8")),
        ({"ice_addresses": "300.1.1.1"}, ("ice_addresses", "300.1.1.1")),
        ({"ice_servers": "stun:a"}, ("ice_servers", "JSON")),
        ({"ice_servers": '[{"urls": ["http://a"]}]'}, ("ice_servers", "stun:HOST:PORT")),
        ({"source_urls": "file:///etc/passwd"}, ("source_urls", "rtsp")),
        ({"source_folder": Path("/nowhere")}, ("source_folder", "no such folder", "/nowhere")),
        ({"recordings": Path(__file__)}, ("recordings", "no folder", "test_settings.py")),
        ({"recordings": ""}, ("recordings", "empty")),
        ({"drain_s": float("inf")}, ("drain_s", "Infinity")),
        ({"threads": 100_000}, ("threads", "100000")),
        ({"max_body": -1}, ("max_body", "-1")),
    ],
)
def test_a_wrong_setting_is_named(given: dict[str, object], words: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(**given)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"token": "secret"},
        {"turn_secret": "secret"},
        {"ice_servers": '[{"urls": "turn:a", "credential": "secret"}]'},
        {"source_urls": "ftp://me:secret@camera"},
    ],
)
def test_what_is_said_of_a_wrong_setting_quotes_no_secret(given: dict[str, object]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(**given)
    assert next(iter(given)) in str(caught.value)
    assert "secret" not in str(caught.value).replace("turn_secret", "")


def test_a_variable_that_is_no_setting_is_told_with_what_may_be_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RESTYLE_RECORDING", "a-secret-place")
    monkeypatch.setenv("RESTYLE_PORT", "9001")
    assert unknown_variables() == [
        "RESTYLE_RECORDING: no such setting; is RESTYLE_RECORDINGS meant?"
    ]


def test_brackets_of_an_ipv6_address_are_taken_off() -> None:
    there = load_settings(host="[::1]", hosts="[2001:DB8::1],Studio.local")
    assert there.url == "http://[::1]:8000"
    assert {"[::1]", "[2001:db8::1]", "studio.local"} <= there.allowed_hosts


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `docker run --user 12345`."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    with pytest.raises(SettingsError, match="set HOME"):
        load_settings()


@pytest.mark.parametrize("content", [b"\xff" * 40, b"short", b"", b"two lines\nof a token\n"])
def test_a_damaged_token_file_is_replaced(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(content)
    token = load_token(None, tmp_path)
    assert len(token) >= 32
    assert (tmp_path / "token").read_text() == token


def test_a_folder_that_can_keep_no_token_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/restyle/token: no token .*RESTYLE_TOKEN"):
        load_token(None, tmp_path / "file" / "restyle")


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
