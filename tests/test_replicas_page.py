"""The how-to about replicas, run on a primary and its standby: its recipes are right there, too."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from eventstore import EventStore, migrations
from tests.fix_clusters import Cluster
from tests.fix_django import postgresql_settings
from tests.readers import opened

pytestmark = [pytest.mark.slow, pytest.mark.long]

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("replays", [True, False])
def test_the_page_prints_the_same_on_a_primary_and_a_standby(
    cluster: Cluster, new_cluster: Callable[[], Cluster], tmp_path: Path, replays: bool
) -> None:
    """Also on a standby that replays nothing, except for what has no fallback: all of that is left out then."""
    standby = new_cluster()
    with opened(cluster.url) as engine:
        migrations.provision(engine, "public")
    standby.follow(cluster)
    standby.catch_up(cluster)
    text = (ROOT / "docs" / "how-to" / "replicas.md").read_text(encoding="utf-8")
    for name, server in (("primary", cluster), ("replica", standby)):
        text, count = re.subn(
            rf'^{name}_url = "sqlite:///shop.db"', f'{name}_url = "{server.url}"', text, flags=re.MULTILINE
        )
        assert count == 1
    for alias, server in (("default", cluster), ("replica", standby)):
        settings = postgresql_settings(make_url(server.url))
        text, count = re.subn(rf'^    "{alias}": .*$', f'    "{alias}": {settings!r},', text, flags=re.MULTILINE)
        assert count == 1
    if not replays:
        standby.query("SELECT pg_wal_replay_pause()")
        text = text.replace("timeout_seconds=5", "timeout_seconds=0, fallback=store")
    (tmp_path / "replicas.md").write_text(text, encoding="utf-8")
    code = "import sys; from pathlib import Path; from tests.fix_documentation import run_document; "
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}run_document(Path(sys.argv[1]))", tmp_path / "replicas.md"],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    if replays:
        standby.catch_up(cluster)
    with opened(standby.url) as engine:
        assert (EventStore(engine).stream_version("order-8") == 1) is replays
