"""The only door to Postgres: named statements, an asynchronous store and its generated twin."""
