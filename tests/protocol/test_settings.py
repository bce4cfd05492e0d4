"""Settings and durations: what is accepted keeps every inequality, what is refused says why (L18)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from kopf_leader.errors import SettingsError
from kopf_leader.protocol import settings as settings_module
from kopf_leader.protocol.durations import parse_duration
from kopf_leader.protocol.settings import Settings

seconds = some.floats(0.01, 100) | some.floats() | some.sampled_from([0.0, -1.0, 1.0, 1.2, 2.0, 10.0, 15.0])
NAMES = {"name": "x", "namespace": "y", "identity": "z"}


def broken(lease, renew, retry, timeout, drain):
    """How many rules of L18 these numbers break, counted without the code."""
    attempt = timeout if timeout is not None else max(renew / 2, 1.0)
    given = [lease, renew, retry, drain] + ([] if timeout is None else [timeout])
    bad = sum(not (math.isfinite(value) and 0 < value <= 2**31 - 1) for value in given)
    if bad:
        return bad
    room = not renew > 1.2 * retry or not retry + attempt < renew
    return (lease < 1) + (not renew < lease) + room


@given(seconds, seconds, seconds, some.none() | seconds, seconds)
def test_valid_means_every_inequality(lease, renew, retry, timeout, drain):
    """L18: valid settings satisfy all inequalities; others raise, with a sentence for each violated rule."""
    expected = broken(lease, renew, retry, timeout, drain)
    numbers = {"lease_duration": lease, "renew_deadline": renew, "retry_period": retry, "drain_timeout": drain}
    try:
        settings = Settings(**NAMES, **numbers, request_timeout=timeout)
    except SettingsError as error:
        assert expected > 0
        assert len(error.sentences) >= expected
        assert all(sentence.endswith(".") for sentence in error.sentences)
        if all(0 < value < 1e9 for value in (lease, renew, retry, drain)):
            assert len(error.sentences) == expected
    else:
        assert expected == 0
        assert 0 < settings.retry_period < settings.renew_deadline < settings.cancel_after < settings.exit_after
        assert settings.exit_after < settings.lease_duration
        assert settings.retry_period + settings.attempt_timeout < settings.renew_deadline
        assert 0 < settings.last_grace <= 1


GOOD = {"lease_duration": 15.0, "renew_deadline": 10.0, "retry_period": 2.0, "request_timeout": 5.0}
BORDERS = {
    "lease_duration": (
        {"lease_duration": 1.0, "renew_deadline": 0.5, "retry_period": 0.2, "request_timeout": 0.2},
        {"lease_duration": math.nextafter(1.0, 0.0)},
        "below one second",
    ),
    "renew_deadline": (
        {"renew_deadline": math.nextafter(15.0, 0.0)},
        {"renew_deadline": 15.0},
        "not below the lease duration",
    ),
    "retry_period": (
        {"retry_period": 8.3, "request_timeout": 1.0},
        {"retry_period": 10.0 / 1.2},
        "not above 1.2 × the retry period",
    ),
    "request_timeout": ({"request_timeout": 7.99}, {"request_timeout": 8.0}, "leave no room"),
}


@pytest.mark.parametrize("border", BORDERS)
def test_each_inequality_has_its_border_and_its_sentence(border):
    """L18: just inside is accepted, just outside is refused, by one sentence that names this rule and no other."""
    inside, outside, words = BORDERS[border]
    Settings(**NAMES, **{**GOOD, **inside})
    with pytest.raises(SettingsError, match=words) as caught:
        Settings(**NAMES, **{**GOOD, **inside, **outside})
    assert len(caught.value.sentences) == 1


@pytest.mark.parametrize("border", BORDERS)
def test_a_rule_that_is_not_checked_is_noticed(border, monkeypatch):
    """L18: the test of the borders is alive: without its rule, it fails."""
    checked = settings_module._check_inequalities
    words = BORDERS[border][2]
    monkeypatch.setattr(
        settings_module,
        "_check_inequalities",
        lambda settings: [sentence for sentence in checked(settings) if words not in sentence],
    )
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_each_inequality_has_its_border_and_its_sentence(border)


def test_the_defaults_are_client_gos():
    """15 s, 10 s, 2 s, and half of the renew deadline for a request (controller-runtime)."""
    settings = Settings(**NAMES)
    assert (settings.lease_duration, settings.renew_deadline, settings.retry_period) == (15, 10, 2)
    assert settings.attempt_timeout == 5
    assert (settings.cancel_after, settings.exit_after) == (12.5, 14)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15", 15),
        ("15s", 15),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("1h", 3600),
        ("1.5s", 1.5),
        (" 2s ", 2),
        (7, 7),
        (0.5, 0.5),
    ],
)
def test_durations_are_read(text, expected):
    """Durations take `15`, `15s`, `1m30s`, `500ms`."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "s", "15 s", "-5s", "1e3", "15d", "m1", "1.s", "nan", "inf", "0x10"])
def test_what_is_no_duration_is_refused(text):
    """The error names what the duration is for, and how to write one."""
    with pytest.raises(SettingsError, match=r"The lease duration .* is no duration: write seconds"):
        parse_duration(text, what="lease duration")


def test_durations_are_written_in_ascii():
    """Other scripts' digits are a mistake in a flag, not a number."""
    with pytest.raises(SettingsError):
        parse_duration("١٥")


@given(some.integers(0, 99), some.integers(0, 59), some.integers(0, 59), some.integers(0, 999))
def test_durations_add_up(hours, minutes, secs, millis):
    """Units add up, in Go's notation."""
    expected = hours * 3600 + minutes * 60 + secs + millis / 1000
    assert parse_duration(f"{hours}h{minutes}m{secs}s{millis}ms") == pytest.approx(expected)


@given(
    some.lists(some.tuples(some.integers(0, 10**6), some.sampled_from(["h", "m", "s", "ms"])), min_size=1, max_size=5)
)
def test_a_duration_that_is_written_is_read(parts):
    """Units in any order and as often as one likes: what is written is read, and as a whole number of ms exactly."""
    worth = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
    millis = sum(number * worth[unit] for number, unit in parts)
    assert round(parse_duration("".join(f"{number}{unit}" for number, unit in parts)) * 1000) == millis
    assert round(parse_duration(f"{millis}ms") * 1000) == millis
    assert parse_duration(str(millis / 1000) if millis < 10**15 else f"{millis}ms") * 1000 == pytest.approx(millis)


@given(some.text(max_size=10))
def test_any_text_is_a_duration_or_an_error(text):
    """Nothing but a non-negative number or a `SettingsError` comes out."""
    try:
        value = parse_duration(text)
    except SettingsError:
        return
    assert value >= 0
