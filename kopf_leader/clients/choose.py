"""From what `client=…` was given to a client: by the library that the object belongs to, by its name, or made by it."""

import importlib
from collections.abc import Callable
from typing import Any

from kopf_leader.clients.base import LeaseClient
from kopf_leader.errors import SettingsError

_MODULES = {"kubernetes": "KubernetesLibrary", "pykube": "PykubeLibrary"}
_PACKAGES = {"kubernetes": "kubernetes", "pykube": "pykube-ng"}
_KNOWN = {
    "kubernetes": ("kubernetes.client.ApiClient", "kubernetes.client.Configuration"),
    "pykube": ("pykube.HTTPClient", "pykube.KubeConfig"),
}


def client_for(thing: object, *, namespace: str, name: str, timeout: float) -> Callable[[], LeaseClient]:
    """What makes the client for the Lease `namespace`/`name`; call it in the thread of the election's event loop.

    `thing` is an object of a library (`kubernetes.client.ApiClient` or `Configuration`, `pykube.HTTPClient` or
    `KubeConfig`), or the name of one, "kubernetes" or "pykube": then it looks for its configuration by itself. Or it is
    a callable that returns a `LeaseClient` for that Lease, which is handed back as it is. `timeout` is for one request,
    in seconds. Raises `SettingsError` for everything else, for a library that is not installed, and for an object that
    the election cannot use. Sends nothing.
    """
    library = thing if isinstance(thing, str) else _library_of(thing)
    if library not in _MODULES:
        if callable(thing) and not _is_of_library(thing):
            return thing  # what it returns shows when it is called
        raise SettingsError([_unknown(thing)])
    given = None if isinstance(thing, str) else thing
    make: Callable[[Any], Any] = getattr(_load(library), _MODULES[library])
    make(given)  # an object that cannot be used is refused now, not in the election's thread

    def client() -> LeaseClient:
        # Only now, as this imports urllib3, which comes with either library.
        from kopf_leader.clients.blocking import BlockingLeaseClient  # noqa: PLC0415

        return BlockingLeaseClient(make(given), namespace=namespace, name=name, timeout=timeout)

    return client


def _library_of(thing: object) -> str | None:
    """The library that knows this object, without an import of any that is not in use."""
    for base in type(thing).__mro__:
        top = base.__module__.partition(".")[0]
        for known in _KNOWN.get(top, ()):
            if known.rpartition(".")[2] == base.__name__ and not base.__module__.startswith("kubernetes.aio"):
                return top
    return None


def _is_of_library(thing: object) -> bool:
    """Whether it is a class or a function of one of the libraries: such a thing is passed by mistake for an object."""
    return str(getattr(thing, "__module__", "")).partition(".")[0] in _KNOWN


def _load(library: str) -> Any:
    try:
        return importlib.import_module(f"kopf_leader.clients.{library}")
    except ImportError as exc:
        sentence = (
            f"The client {library!r} needs the package {_PACKAGES[library]}, which cannot be imported ({exc}): "
            f"install kopf-leader[{library}]."
        )
        raise SettingsError([sentence]) from exc


def _unknown(thing: object) -> str:
    known = ", ".join(name for names in _KNOWN.values() for name in names)
    if isinstance(thing, str):
        return (
            f"There is no client {thing!r}: write 'kubernetes' or 'pykube', or pass an object ({known}) or a callable "
            "that returns a LeaseClient."
        )
    kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
    return (
        f"The client is a {kind}, which the election cannot use: pass an object of a known library ({known}), or a "
        "callable that returns a LeaseClient."
    )
