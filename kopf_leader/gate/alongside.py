"""What becomes of kopf's peering under an election: it is switched off, refused, or migrated from."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from kopf_leader.errors import SettingsError
from kopf_leader.gate import seam_peering
from kopf_leader.gate.rules import Rules
from kopf_leader.gate.seam_parts import Parts

if TYPE_CHECKING:
    from kopf_leader.gate.peering import Peering


def settle(
    parts: Parts, rules: Rules, *, changed: Callable[[], None], give_way: Callable[[], None]
) -> "Peering | None":
    """Have the election alone pause the operator that starts now; the migration's part of it, if there is one.

    Raises `SettingsError` where peering was asked for without a migration, or a migration without peering.
    """
    settings, migration = parts.settings, None
    if rules.from_peering is not None:
        from kopf_leader.gate.peering import migrate  # noqa: PLC0415 (a tenth of our start-up, and rarely asked for)

        drain = rules.drain_timeout + rules.slack
        migration = migrate(parts, grace=rules.from_peering, drain=drain, changed=changed, give_way=give_way)
    elif seam_peering.peering_wanted(settings):
        sentence = (
            "Peering and leader election cannot be combined, as each pauses the operator for its own reasons: "
            "drop the settings of peering, or disable the election, or, to migrate from one to the other, set "
            "--leader-election-from-peering."
        )
        raise SettingsError([sentence])
    settings.peering.standalone = True
    return migration
