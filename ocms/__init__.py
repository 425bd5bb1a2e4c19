"""The integration service between OCMS, CAS and PLUS."""
