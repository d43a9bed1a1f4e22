"""The generated parts of the manual, each a function that returns Markdown.

Importing this package sets Django up, without which models cannot be imported.
"""

from __future__ import annotations

from importlib.util import find_spec

import django
from django.conf import settings

if not settings.configured:
    known = ("qcore", "qcore_orm", "qcore_limits", "qcore_flows", "qcore_dashboard")
    apps = [name for name in known if find_spec(name)]
    settings.configure(INSTALLED_APPS=apps)
    django.setup()
