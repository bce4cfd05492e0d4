"""From what `client=…` was given to a client: by the library that the object belongs to, by its name, or made by it."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from kopf_leader.clients.base import LeaseClient
from kopf_leader.errors import SettingsError


class _Library(NamedTuple):
    """One library: where its side of ours is, what brings it, and which of its objects can be passed."""

    module: str
    maker: str
    package: str
    extra: str
    classes: tuple[str, ...]


_LIBRARIES = {
    "kubernetes": _Library(
        module="kubernetes",
        maker="KubernetesLibrary",
        package="kubernetes",
        extra="kubernetes",
        classes=("kubernetes.client.ApiClient", "kubernetes.client.Configuration"),
    ),
    "kubernetes.aio": _Library(
        module="kubernetes_aio",
        maker="AioKubernetes",
        package="kubernetes (36 or newer)",
        extra="kubernetes",
        classes=("kubernetes.aio.client.ApiClient", "kubernetes.aio.client.Configuration"),
    ),
    "pykube": _Library(
        module="pykube",
        maker="PykubeLibrary",
        package="pykube-ng",
        extra="pykube",
        classes=("pykube.HTTPClient", "pykube.KubeConfig"),
    ),
}


def client_for(thing: object, *, namespace: str, name: str, timeout: float) -> Callable[[], LeaseClient]:
    """What makes the client for the Lease `namespace`/`name`; it may block, so call it in a thread without a loop.

    `thing` is an object of a library (an `ApiClient` or `Configuration` of `kubernetes.client` or
    `kubernetes.aio.client`, `pykube.HTTPClient` or `KubeConfig`), or the name of one, "kubernetes", "kubernetes.aio" or
    "pykube": then it looks for its configuration by itself. Or it is a callable that returns a `LeaseClient` for that
    Lease, which is handed back as it is. `timeout` is for one request, in seconds. Raises `SettingsError` for
    everything else, for a library that is not installed, and for an object that the election cannot use. Sends nothing.
    """
    library = thing if isinstance(thing, str) else _library_of(thing)
    if library not in _LIBRARIES:
        if callable(thing) and not _is_of_library(thing):
            return thing  # what it returns shows when it is called
        raise SettingsError([_unknown(thing)])
    given = None if isinstance(thing, str) else thing
    make: Callable[[Any], Any] = _load(library)
    make(given)  # an object that cannot be used is refused now, not in the election's thread

    def client() -> LeaseClient:
        made = make(given)
        if library == "kubernetes.aio":
            direct: LeaseClient = made.client(namespace=namespace, name=name, timeout=timeout)
            return direct
        # Only now, as this imports urllib3, which comes with either library.
        from kopf_leader.clients.blocking import BlockingLeaseClient  # noqa: PLC0415

        return BlockingLeaseClient(made, namespace=namespace, name=name, timeout=timeout)

    return client


def _library_of(thing: object) -> str | None:
    """The library that knows this object, without an import of any that is not in use."""
    for base in type(thing).__mro__:
        for name, library in _LIBRARIES.items():
            # Where a class is defined lies deeper than where it is named, and `kubernetes` has `aio` within it.
            ours = f"{base.__module__}.".startswith(f"{name}.") and (
                name != "kubernetes" or not f"{base.__module__}.".startswith("kubernetes.aio.")
            )
            if ours and base.__name__ in {known.rpartition(".")[2] for known in library.classes}:
                return name
    return None


def _is_of_library(thing: object) -> bool:
    """Whether it is a class or a function of one of the libraries: such a thing is passed by mistake for an object."""
    return str(getattr(thing, "__module__", "")).partition(".")[0] in _LIBRARIES


def _load(name: str) -> Any:
    library = _LIBRARIES[name]
    try:
        return getattr(importlib.import_module(f"kopf_leader.clients.{library.module}"), library.maker)
    except ImportError as exc:
        sentence = (
            f"The client {name!r} needs the package {library.package}, which cannot be imported ({exc}): "
            f"install kopf-leader[{library.extra}]."
        )
        raise SettingsError([sentence]) from exc


def _unknown(thing: object) -> str:
    known = ", ".join(name for library in _LIBRARIES.values() for name in library.classes)
    if isinstance(thing, str):
        return (
            f"There is no client {thing!r}: write 'kubernetes', 'kubernetes.aio' or 'pykube', or pass an object "
            f"({known}) or a callable that returns a LeaseClient."
        )
    kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
    return (
        f"The client is a {kind}, which the election cannot use: pass an object of a known library ({known}), or a "
        "callable that returns a LeaseClient."
    )
