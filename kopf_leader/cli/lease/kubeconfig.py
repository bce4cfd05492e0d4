"""The kubeconfig as the commands want it: what cannot be used is refused (`Refused`)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kopf_leader.cli.refused import Refused
from kopf_leader.clients import kubeconfig
from kopf_leader.clients.kubeconfig import Access, KubeconfigError

__all__ = ["Access", "read", "read_merged", "refusing"]


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what is wrong with a kubeconfig into the refusal of a command."""
    try:
        yield
    except KubeconfigError as error:
        raise Refused(str(error)) from error


def read(path: Path, context: str | None) -> Access:
    """Resolve a kubeconfig's context (its current one by default). Raises `Refused` when that cannot be done."""
    with refusing():
        return kubeconfig.read(path, context)


def read_merged(paths: Sequence[Path], context: str | None) -> Access:
    """Resolve a context over several kubeconfigs, of which the first wins. Raises `Refused`."""
    with refusing():
        return kubeconfig.read_merged(paths, context)
