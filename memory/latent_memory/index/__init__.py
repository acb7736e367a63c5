"""The FAISS index of a shelf: built, kept up with the database, stored on disk."""
