"""Hooks at the turns of a term: decorators in kopf's manner, for functions that are sync or async.

    @kopf_leader.on.started_leading(retries=5, backoff=2)
    async def prepare(term, memo, logger, **_): ...

Every hook is called with keyword arguments: `term` (the `kopf_leader.Term`; for `new_leader`, the one under which this
process leads already, or None), `reason` (for `stopped_leading`, why, in the words of the metrics: `resigned`, `asked`,
`leaving`, `renew_deadline`, `rival`, `deleted` or `denied`; else None), `logger`, `memo` (the operator's), `settings`,
and kopf's `param`, `retry`, `started`, `runtime` and `activity`. So it ends with `**_`.

The options are kopf's: `id`, `param`, `errors`, `timeout`, `retries`, `backoff`, `registry`; times are in seconds.
`kopf.TemporaryError` asks for another attempt after its delay, `kopf.PermanentError` for none. Any other exception goes
by `errors`: the default is `kopf.ErrorsMode.TEMPORARY` for `started_leading`, `PERMANENT` for the others.

Each decorator raises `TypeError` for what could not be called so, and `SettingsError` when the operator runs already.
Kopf is imported when a hook is declared, not when this module is.
"""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from kopf_leader.gate.hooks import Hook, HookOptions, Kind, register

if TYPE_CHECKING:
    import kopf

Function = TypeVar("Function", bound=Callable[..., object])


class Declared(TypedDict, total=False):
    """The options of a hook; what is left out or None is kopf's default, or that of its kind (see above)."""

    id: str | None
    param: object
    errors: "kopf.ErrorsMode | None"
    timeout: float | None
    retries: int | None
    backoff: float | None
    registry: "kopf.OperatorRegistry | None"


_KNOWN = ("term", "reason", "logger", "memo", "settings", "activity", "param", "retry", "started", "runtime")
_ABOUT_HOLDER = ("holder", "is_me")


def started_leading(*misplaced: object, **declared: Unpack[Declared]) -> Callable[[Function], Function]:
    """Call it when a term begins, before the first handler: a place to prepare. It runs under the term.

    Handlers start when all of these hooks have succeeded. One that fails for good gives the Lease back, and another
    replica goes first (L20); with the election off, the operator stops. When the term ends meanwhile, it is cancelled.
    """
    return _decorator(Kind.STARTED, misplaced, declared)


def stopped_leading(*misplaced: object, **declared: Unpack[Declared]) -> Callable[[Function], Function]:
    """Call it when a term ends, behind its last handler and before the Lease is given back (L12).

    It is called once for each term whose `started_leading` hooks were begun, however it ends, and has the time that
    handlers have: it is cancelled, and at the exit point the process is ended. Kopf's requests are refused in it once
    the claim has run out, as in a handler. Its failure is logged, and changes nothing.
    """
    return _decorator(Kind.STOPPED, misplaced, declared)


def new_leader(*misplaced: object, **declared: Unpack[Declared]) -> Callable[[Function], Function]:
    """Call it on every replica when another holder of the Lease is seen, this process included.

    Two more arguments: `holder` (its identity) and `is_me` (whether it is this process). Holding comes before leading,
    and outlasts it. Holders are announced one after the other; nothing waits for it, and a failure is logged.
    """
    return _decorator(Kind.NEW, misplaced, declared)


def _decorator(kind: Kind, misplaced: tuple[object, ...], declared: Declared) -> Callable[[Function], Function]:
    name = f"@kopf_leader.on.{kind.value}"
    if unexpected := declared.keys() - Declared.__annotations__.keys():
        raise TypeError(f"{kind.value}() got an unexpected keyword argument {min(unexpected)!r}")
    if misplaced:
        of = f" of {_name(misplaced[0])!r}" if callable(misplaced[0]) else ""
        raise TypeError(f"The decorator {name}{of} takes no positional arguments: write {name}() with its parentheses.")
    given: dict[str, Any] = {**declared}
    id_, registry = given.pop("id", None), given.pop("registry", None)
    options = HookOptions(**given)
    _check_options(name, options)

    def decorate(function: Function) -> Function:
        import kopf  # noqa: PLC0415 (half a second, for who declares hooks)

        _check_function(name, function, _KNOWN + (_ABOUT_HOLDER if kind is Kind.NEW else ()))
        hook = Hook(kind=kind, function=function, id=id_ or _name(function), options=options)
        register(hook, kopf.get_default_registry() if registry is None else registry)
        return function

    return decorate


def _check_options(name: str, options: HookOptions) -> None:
    import kopf  # noqa: PLC0415 (see above)

    if options.errors is not None and not isinstance(options.errors, kopf.ErrorsMode):
        raise TypeError(f"The option errors={options.errors!r} of {name}() is none of kopf.ErrorsMode: pass one.")
    for option in ("timeout", "retries", "backoff"):
        value = getattr(options, option)
        kinds = int if option == "retries" else (int, float)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds) or not value >= 0):
            unit = "a whole number" if option == "retries" else "seconds"
            raise TypeError(f"The option {option}={value!r} of {name}() is not a number from 0 on: pass {unit}.")


def _check_function(name: str, function: Any, known: tuple[str, ...]) -> None:
    """Refuse what the call would fail on each time, or what it would not run."""
    if not callable(function):
        raise TypeError(f"{name}() stands above {function!r}, which cannot be called: put it above a function.")
    whose = f"The hook {_name(function)!r} of {name}()"
    called = function.func if isinstance(function, functools.partial) else function
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise TypeError(f"{whose} is a generator, and nothing would run it: write a function without yield.")
    if inspect.iscoroutinefunction(type(called).__call__):
        raise TypeError(f"{whose} is an object with an async __call__, which kopf does not await: pass the method.")
    parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        raise TypeError(f"{whose} does not take **kwargs, and is called with more than it names: end it with **_.")
    for parameter in parameters:
        variable = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if variable or parameter.default is not parameter.empty:
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY or parameter.name not in known:
            raise TypeError(
                f"{whose} asks for {parameter.name!r}, which hooks are not called with: name any of "
                f"{', '.join(known)}, or give it a default."
            )


def _name(function: Any) -> str:
    if isinstance(function, functools.partial):
        return _name(function.func)
    return str(getattr(function, "__name__", None) or type(function).__name__)
