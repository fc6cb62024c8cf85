import os
from urllib.parse import urlsplit

URL = urlsplit(os.environ.get("DATABASE_URL", ""))
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": URL.path.removeprefix("/"),
        "USER": URL.username,
        "HOST": URL.hostname,
        "PORT": str(URL.port or ""),
    }
    if URL.scheme
    else {"ENGINE": "django.db.backends.sqlite3", "NAME": "serialized.sqlite3"}
}
INSTALLED_APPS = ["eventstore.contrib.django", "tests.django_serialized"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
