"""Redis broker for qcore, built on streams; works with Valkey and django-redis."""
