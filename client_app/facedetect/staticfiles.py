"""Static files whose names carry their hash, also where one ES module imports another."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class ModuleStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # whitenoise carries no types
    """Hashed names: App Engine sets every file's date to 1980, so a browser could not tell a new file by its date."""

    support_js_module_import_aggregation = True
