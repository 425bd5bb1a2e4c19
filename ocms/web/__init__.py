"""HTTP: the server, the security and validation that connexion drives, and the one error body."""
