"""TLS with CAS: which authority to trust, and which certificate to present."""

import ssl

from domain.errors import OperatorError
from jobs.environment import public_authorities, reason_of


def tls_context(
    ca_file: str | None, cert_file: str | None, key_file: str | None, key_password: str, *, trust_environment: bool
) -> ssl.SSLContext:
    """Return the TLS context for calls to CAS. Without `ca_file` it trusts the public authorities.

    The files are in PEM form. Raises OperatorError, which names the setting, if one of them cannot be used.
    """
    if key_file and not cert_file:
        raise OperatorError("OCMS_CAS_CLIENT_KEY_FILE has no effect without OCMS_CAS_CLIENT_CERT_FILE: set both")
    if ca_file:
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise OperatorError(f"OCMS_CAS_CA_FILE: {ca_file} cannot be used: {reason_of(error)}") from error
    else:
        context = public_authorities(trust_environment=trust_environment)
    if cert_file:
        try:
            context.load_cert_chain(cert_file, key_file or None, key_password)
        except OSError as error:
            raise OperatorError(
                "OCMS_CAS_CLIENT_CERT_FILE, OCMS_CAS_CLIENT_KEY_FILE, OCMS_CAS_CLIENT_KEY_PASSWORD: "
                f"{cert_file} cannot be used: {reason_of(error)}"
            ) from error
    return context


def is_tls_error(error: BaseException | None) -> bool:
    """Return whether an error, or one that caused it, is a failed handshake rather than a broken connection."""
    while error:
        if isinstance(error, ssl.SSLError):
            return not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError)
        error = error.__cause__ or error.__context__
    return False
