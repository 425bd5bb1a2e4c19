"""The fixtures, by concern: see tests/fixtures/."""

pytest_plugins = [
    "fixtures.alone",
    "fixtures.coverage",
    "fixtures.settings",
    "fixtures.logs",
    "fixtures.database",
    "fixtures.tds",
    "fixtures.batches",
    "fixtures.servers",
    "fixtures.contracts",
    "fixtures.sockets",
    "fixtures.refreshing",
    "fixtures.vip_lists",
    "fixtures.recorder",
    "fixtures.alerts",
    "fixtures.proxies",
    "fixtures.commands",
    "fixtures.replicas",
    "fixtures.users",
]
