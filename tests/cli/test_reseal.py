"""`duetime reseal`, as a person types it after a change of keys."""

import os
import subprocess
from datetime import UTC, datetime

from db import channels, secrets, webhooks
from db.channels import About
from db.engine import Catalogue
from db.sealing import Sealer, new_key
from db.tables import Channel, Webhook
from tests.system import DUETIME

OLD, NEW = new_key(), new_key()
NOW = datetime.now(UTC)


def reseal(catalogue: Catalogue, *keys: str) -> "subprocess.CompletedProcess[str]":
    plain = {name: value for name, value in os.environ.items() if not name.startswith("DUETIME_")}
    own = {"DUETIME_DATABASE_URL": catalogue.url, "DUETIME_SECRET_KEYS": ",".join(keys)}
    command = [str(DUETIME), "reseal"]
    return subprocess.run(command, env=plain | own, capture_output=True, text=True, timeout=60, check=False)


def test_after_it_the_old_key_opens_nothing_and_the_new_one_all(catalogue: Catalogue) -> None:
    old, new = Sealer([OLD]), Sealer([NEW])
    by = {"sealer": old, "actor": "ada", "now": NOW}
    with catalogue.transaction() as session:
        secrets.put(session, "TOKEN", "hunter22", **by)  # type: ignore[arg-type]
        hook, signing_key = webhooks.add(session, webhooks.Wish("w", "https://x.example"), **by)  # type: ignore[arg-type]
        wish = channels.Wish("c", "json://x.example", about=[About.FAILED])
        channels.add(session, wish, **by)  # type: ignore[arg-type]
    refused = reseal(catalogue, NEW)
    assert refused.returncode == 1
    assert "Nothing is sealed anew: A secret was sealed with a key that is not here." in refused.stderr
    assert reseal(catalogue, "").returncode == 1
    done = reseal(catalogue, NEW, OLD)
    assert (done.returncode, "3 sealed anew with the first key." in done.stdout) == (0, True), done
    with catalogue.transaction() as session:
        assert secrets.opened(session, ["TOKEN"], sealer=new) == {"TOKEN": "hunter22"}
        assert new.open(session.get_one(Webhook, hook.id).signing_key) == signing_key
        assert new.open(session.query(Channel).one().address) == "json://x.example"
