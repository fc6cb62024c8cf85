"""The tables of the read models."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    operations = (
        migrations.CreateModel(
            name="OrderSummary",
            fields=[
                ("order_id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("customer", models.CharField(max_length=100)),
                ("article", models.CharField(max_length=100)),
                ("total", models.DecimalField(decimal_places=2, max_digits=12)),
                ("status", models.CharField(max_length=20)),
                ("version", models.IntegerField()),
                ("changed_at", models.DateTimeField(auto_now=True, db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="Sales",
            fields=[
                ("article", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("orders", models.IntegerField(default=0)),
                ("revenue", models.DecimalField(decimal_places=2, default=0, max_digits=14)),
            ],
        ),
    )
