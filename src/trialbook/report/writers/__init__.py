"""The writers of a document, one a format: each knows every block of ``document.py``."""
