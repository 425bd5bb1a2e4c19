"""The application: settings, keys, logs, HTTP, the mock CAS, the jobs of a deployment, and the command line."""
