"""The contracts: what the service reads from ``openapi/`` at run time."""
