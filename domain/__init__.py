"""The business rules, and the errors that any room may raise. Nothing here does input or output."""
