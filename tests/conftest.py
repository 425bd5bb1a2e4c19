"""The fixtures, by concern: see tests/fixtures/."""

pytest_plugins = [
    "fixtures.coverage",
    "fixtures.settings",
    "fixtures.logs",
    "fixtures.database",
    "fixtures.tds",
    "fixtures.batches",
    "fixtures.servers",
    "fixtures.alerts",
    "fixtures.commands",
]
