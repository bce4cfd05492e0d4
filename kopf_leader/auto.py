"""Importing this module lets the environment enable the election, for a stock `kopf run`.

    KOPF_RUN_MODULES=kopf_leader.auto KOPF_RUN_LEADER_ELECTION_ID=my-operator kopf run handlers.py

It is on unless `KOPF_RUN_ENABLE_LEADER_ELECTION=false` or the operator's code says `enable(enabled=False)`. A `-m` on
the command line replaces the variable: then name `-m kopf_leader.auto` there as well.
"""

import click

from kopf_leader.errors import SettingsError, UnsupportedKopf
from kopf_leader.gate.enable import imply
from kopf_leader.gate.refusals import told

try:
    imply()
except (SettingsError, UnsupportedKopf) as error:
    if click.get_current_context(silent=True) is None:
        raise
    raise told(error) from None
