"""All that is particular to PostgreSQL: connections, locks, vectors, files as rows.

Its driver and pgvector come with an extra: nothing but ``exact_text`` is imported without them.
"""
