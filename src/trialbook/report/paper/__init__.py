"""Drawing charts for paper: what is here imports matplotlib, and only the backend imports it."""
