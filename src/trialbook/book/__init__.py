"""The store: schema, engine, claims, pending writes, blobs, Optuna's storage."""
