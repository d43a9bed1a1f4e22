"""Django ORM broker for qcore: SQLite, PostgreSQL, MariaDB and MySQL."""
