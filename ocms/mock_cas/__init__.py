"""A mock CAS, served by connexion from ``openapi/cas.yaml``, with faults to practise with."""
