from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    operations = (
        migrations.CreateModel(
            name="Invoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.IntegerField(unique=True)),
            ],
        ),
        migrations.CreateModel(
            name="Total",
            fields=[
                ("name", models.CharField(max_length=20, primary_key=True, serialize=False)),
                ("amount", models.IntegerField(default=0)),
            ],
        ),
    )
