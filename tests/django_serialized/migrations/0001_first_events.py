from typing import Any

from django.db import migrations


def append(_apps: Any, schema_editor: Any) -> None:
    from eventstore import ANY, NewEvent  # noqa: PLC0415  # as migrations do
    from eventstore.contrib.django import get_store  # noqa: PLC0415

    store = get_store(schema_editor.connection.alias)
    store.append("plan-1", [NewEvent("offered", {"price": 10}), NewEvent("priced")], expected_version=ANY)


class Migration(migrations.Migration):
    dependencies = (("eventstore", "0008_fewer_checks"),)
    operations = (migrations.RunPython(append, migrations.RunPython.noop),)
