"""The Alembic migrations of the memory's database.

This version keeps no memory yet, so there is no schema and nothing to migrate.
"""
