"""Declaring hooks: what is refused, with whose name, and when."""

import functools
import subprocess
import sys

import kopf
import pytest

from kopf_leader import SettingsError, on
from kopf_leader.gate import hooks
from tests.gate.operators import PLURAL, wait_for

KINDS = pytest.mark.parametrize("name", ["started_leading", "stopped_leading", "new_leader"])


def decorator(name):
    return functools.partial(getattr(on, name), registry=kopf.OperatorRegistry())


def test_naming_the_package_does_not_import_kopf():
    """`kopf_leader.on` is importable without kopf, which costs half a second."""
    code = "import sys, kopf_leader.on; sys.exit('kopf' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@KINDS
def test_a_function_stays_as_it_is(name):
    """The decorators return the function itself; sync, async, lambdas, partials and methods are taken."""

    class Methods:
        def method(self, **_): ...

        async def coroutine(self, **_): ...

    def function(param, memo, logger, extra=None, **kwargs): ...

    for one in (function, Methods().method, Methods().coroutine, lambda **_: None, functools.partial(function, memo=1)):
        assert decorator(name)()(one) is one


@KINDS
def test_parentheses_are_asked_for(name):
    """Used without parentheses: a `TypeError` that names the function and says what to write."""

    def prepare(**_): ...

    with pytest.raises(TypeError, match=rf"@kopf_leader.on.{name} of 'prepare' .* write @kopf_leader.on.{name}\(\)"):
        getattr(on, name)(prepare)


class AsyncCall:
    async def __call__(self, **_): ...


def no_kwargs(term, logger): ...


def unknown(term, spec, **_): ...


def positional(term, /, **_): ...


def holder_only(holder, is_me, **_): ...


def generator(**_):
    yield


async def async_generator(**_):
    yield


@KINDS
@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (7, "stands above 7, which cannot be called"),
        (no_kwargs, r"'no_kwargs' .* does not take \*\*kwargs"),
        (unknown, "'unknown' .* asks for 'spec', which hooks are not called with"),
        (positional, "'positional' .* asks for 'term'"),
        (generator, "'generator' .* is a generator"),
        (async_generator, "'async_generator' .* is a generator"),
        (functools.partial(generator), "'generator' .* is a generator"),
        (AsyncCall(), "'AsyncCall' .* async __call__"),
    ],
)
def test_a_function_that_could_not_be_called_is_refused(name, function, sentence):
    """A hook with a wrong signature is refused where it is declared, in a sentence with its name."""
    with pytest.raises(TypeError, match=sentence):
        decorator(name)()(function)


@pytest.mark.parametrize("name", ["started_leading", "stopped_leading"])
def test_only_new_leader_is_told_a_holder(name):
    """`holder` and `is_me` are known to `new_leader` alone."""
    decorator("new_leader")()(holder_only)
    with pytest.raises(TypeError, match=r"'holder_only' .* asks for 'holder'"):
        decorator(name)()(holder_only)


@KINDS
@pytest.mark.parametrize(
    "options",
    [
        {"timeout": "5s"},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"retries": 1.5},
        {"retries": True},
        {"backoff": "1"},
        {"errors": "ignored"},
    ],
)
def test_an_option_that_kopf_could_not_work_with_is_refused(name, options):
    """Options of a wrong kind are refused where they are given: kopf would stumble over them at each attempt."""
    ((option, _),) = options.items()
    with pytest.raises(TypeError, match=rf"option {option}=.* of @kopf_leader.on.{name}\(\) is "):
        decorator(name)(**options)


def test_hooks_go_with_their_registry():
    """As with kopf's handlers, hooks without a registry go to kopf's default one."""

    def hook(**_): ...

    before = kopf.get_default_registry()
    registry = kopf.OperatorRegistry()
    kopf.set_default_registry(registry)
    try:
        on.started_leading()(hook)
    finally:
        kopf.set_default_registry(before)
    assert [one.function for one in hooks._Registered.of(registry).hooks] == [hook]
    assert not any(one.function is hook for one in hooks._Registered.of(before).hooks)


def test_too_late(operator, cluster):
    """A hook that is registered after the operator has started is refused: it would never be called."""
    op = operator()

    @kopf.on.startup(**op.on)
    def startup(**_):
        @on.started_leading(**op.on)
        def in_time(**_):
            op.count("in time")

    op.start()
    op.lead()
    with pytest.raises(SettingsError, match=r"hook 'late' \(@kopf_leader.on.new_leader\) is registered after"):

        @on.new_leader(**op.on)
        def late(**_): ...

    op.stop()
    assert op.counted == {"in time": 1}
    on.new_leader(**op.on)(lambda **_: None)  # for the next operator in this process


def test_an_operator_without_hooks_is_idle_at_once(operator, cluster):
    """Without hooks of `stopped_leading` nothing is owed: an idle leader need not wait for kopf's loop."""
    op = operator()

    @on.started_leading(**op.on)
    def prepare(**_):
        op.count("prepared")

    @kopf.on.create(PLURAL, **op.on)
    def created(**_):
        op.count("created")

    cluster.create("one")  # kopf itself takes its time to end when it is stopped before it has looked around
    op.start()
    op.lead()
    wait_for(lambda: "created" in op.counted and not op.conductor.tenure.busy, "the term to be idle")
    assert not op.conductor.tenure.owes
    op.stop()
    assert op.counted == {"prepared": 1, "created": 1}
