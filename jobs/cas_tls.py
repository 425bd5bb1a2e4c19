"""TLS with CAS: the authorities to trust and the client certificate to present."""

import ssl

from domain.clock import utc_now
from domain.errors import OperatorError
from jobs.environment import client_context, public_authorities, reason_of


def tls_context(
    ca_file: str | None, cert_file: str | None, key_file: str | None, key_password: str, *, trust_environment: bool
) -> ssl.SSLContext:
    """Return the TLS context for calls to CAS. Without `ca_file` it trusts the public authorities.

    The files are in PEM form. Raises OperatorError, which names the setting, if one of them cannot be used.
    """
    if ca_file:
        try:
            context = client_context(ca_file)
        except OSError as error:
            raise OperatorError(f"OCMS_CAS_CA_FILE: {ca_file} cannot be used: {reason_of(error)}") from error
    else:
        context = public_authorities(trust_environment=trust_environment)
    if cert_file:
        # importing cryptography takes 0.1 s
        from jobs.key_pair import KeyPair  # noqa: PLC0415

        KeyPair("OCMS_CAS_CLIENT", cert_file, key_file, key_password).load_into(context, utc_now)
    return context


def is_tls_error(error: BaseException | None) -> bool:
    """Return whether an error, or one that caused it, is a failed handshake rather than a broken connection."""
    while error:
        if isinstance(error, ssl.SSLError):
            return not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError)
        error = error.__cause__ or error.__context__
    return False
