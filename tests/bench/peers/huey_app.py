"""The Huey that its consumer imports."""

from __future__ import annotations

import django
import huey
import work
from django.conf import settings

django.setup()
_store, _redis = settings.BENCH_HUEY
_database = settings.DATABASES["default"]

if _store == "redis":
    app = huey.RedisHuey("bench", url=_redis)
elif _store == "sqlite":
    app = huey.SqliteHuey("bench", filename=f"{_database['NAME']}.huey")
else:
    app = huey.PostgresHuey(
        "bench",
        host=_database["HOST"],
        port=_database["PORT"],
        user=_database["USER"],
        dbname=_database["NAME"],
    )

noop = app.task()(work.noop)
