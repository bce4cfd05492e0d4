"""`kopf-leader manifest`: the Lease and its RBAC as YAML, for people without Helm. Reaches no server."""

import re
from typing import Any

import click

from kopf_leader.cli.manifests import election, fencing, on_call, takeover
from kopf_leader.cli.manifests.text import Subject, documents
from kopf_leader.errors import SettingsError
from kopf_leader.protocol.settings import Settings

_PART = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_PREFIX = r"(?=[^/]{1,253}/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/"
_LABEL = re.compile(rf"(?P<key>({_PREFIX})?{_PART})=(?P<value>({_PART})?)")


def labels(context: click.Context, parameter: click.Parameter, said: tuple[str, ...]) -> dict[str, str]:  # noqa: ARG001
    """Read KEY=VALUE: click's callback of an option; what the API server would refuse is refused here."""
    found: dict[str, str] = {}
    for text in said:
        match = _LABEL.fullmatch(text)
        if match is None:
            raise click.BadParameter(f"{text!r} is no label: write KEY=VALUE as Kubernetes has them (team=storage).")
        if found.setdefault(match["key"], match["value"]) != match["value"]:
            raise click.BadParameter(f"the label {match['key']!r} is given two values: give it once.")
    return found


def resources(
    context: click.Context,  # noqa: ARG001 (click's callback of an option)
    parameter: click.Parameter,  # noqa: ARG001
    said: tuple[str, ...],
) -> list[fencing.Resource]:
    """Read GROUP/PLURAL."""
    found = []
    for text in said:
        try:
            found.append(fencing.resource(text))
        except ValueError:
            raise click.BadParameter(
                f"{text!r} is no resource: write GROUP/PLURAL (kopf.dev/kopfexamples), or PLURAL alone for the core "
                "group (configmaps); its subresources are meant as well."
            ) from None
        if found[-1].never:
            raise click.BadParameter(
                f"{text!r} is never fenced, as standbys write it, too: leave it out, and fence what handlers write."
            )
    return found


@click.command()
@click.argument("lease_id", metavar="ID", envvar="KOPF_RUN_LEADER_ELECTION_ID")
@click.option(
    "-n",
    "--namespace",
    required=True,
    envvar="KOPF_RUN_LEADER_ELECTION_NAMESPACE",
    metavar="NAME",
    help="The Lease's namespace.",
)
@click.option(
    "--service-account",
    metavar="[NAMESPACE:]NAME",
    help="The operator's service account; by default it is called as the Lease, and in its namespace.",
)
@click.option("--create-service-account", is_flag=True, help="Put the service account into the manifest as well.")
@click.option(
    "--no-create",
    is_flag=True,
    help="Do not let the operator create the Lease anew when somebody has deleted it: a right without a name.",
)
@click.option(
    "--on-call-user",
    "users",
    multiple=True,
    metavar="NAME",
    help="A user who may step down, transfer, hold and resume; may be repeated.",
)
@click.option("--on-call-group", "groups", multiple=True, metavar="NAME", help="The same for a group.")
@click.option(
    "--fence",
    is_flag=True,
    help="Have the API server refuse the operator's writes that come from another pod than the holder's.",
)
@click.option(
    "--fence-resource", "resources", multiple=True, callback=resources, metavar="[GROUP/]PLURAL",
    help="A resource that --fence is for, with its subresources; may be repeated.",
)  # fmt: skip
@click.option(
    "--fence-when-missing", "missing", type=click.Choice(["allow", "deny"]), default="allow", show_default=True,
    help="While there is no Lease: allow the operator's writes, or deny everybody's, whoever writes.",
)  # fmt: skip
@click.option(
    "--read-pods", is_flag=True,
    help="Let candidates read pods, as --leader-election-takeover=evidence goes by what kubelets say of them.",
)  # fmt: skip
@click.option(
    "-l", "--label", "labels", multiple=True, callback=labels, metavar="KEY=VALUE",
    help="A label for each object; may be repeated.",
)  # fmt: skip
def manifest(
    *,
    lease_id: str,
    namespace: str,
    service_account: str | None,
    create_service_account: bool,
    no_create: bool,
    users: tuple[str, ...],
    groups: tuple[str, ...],
    labels: dict[str, str],
    **more: Any,
) -> None:
    """Print what the election by the Lease ID needs in the cluster: the Lease and the RBAC, for kubectl apply -f -.

    The Lease is part of it, with an empty spec: whoever sees it first leads at once. Applied again it changes nothing
    in a Lease that is held. The same arguments print the same text.

    Exit status: 0; 2 when an argument is wrong.
    """
    try:
        Settings(name=lease_id, namespace=namespace, identity="anybody")  # checks the names
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
    account = _account(service_account or lease_id, namespace)
    people = [*(Subject("User", name) for name in users), *(Subject("Group", name) for name in groups)]
    if any(not person.name.strip() or not person.name.isprintable() for person in people):
        raise click.UsageError("The name of a user or a group is empty or cannot be printed: correct it.")
    common: dict[str, Any] = {"lease": lease_id, "namespace": namespace, "labels": labels}
    parts = election.parts(**common, account=account, create_account=create_service_account, allow_create=not no_create)
    parts += on_call.parts(**common, people=people)
    if more.pop("read_pods"):
        parts += takeover.parts(**common, account=account)
    parts += _fencing(**more, account=account, **common)
    click.echo(documents(parts), nl=False)


def _fencing(*, fence: bool, resources: list[fencing.Resource], missing: str, **how: Any) -> list[list[str]]:
    if fence != bool(resources):
        raise click.UsageError(
            "--fence and --fence-resource belong together: say --fence, and name each resource that handlers write."
        )
    return fencing.parts(**how, resources=resources, missing=missing.title()) if fence else []


def _account(said: str, namespace: str) -> Subject:
    """The service account: `NAME` or `NAMESPACE:NAME`, as kubectl writes it."""
    where, _, name = said.rpartition(":")
    account = Subject("ServiceAccount", name, where or namespace)
    try:
        Settings(name=account.name, namespace=account.namespace or "", identity="anybody")  # the same rules
    except SettingsError:
        raise click.UsageError(
            f"--service-account={said} is no service account: write NAME or NAMESPACE:NAME, lower-case as Kubernetes "
            "has them."
        ) from None
    return account
