"""The Python types of amounts and dates in bodies. The generated `contract.types` imports them from here."""

from datetime import datetime
from decimal import Decimal

Amount = Decimal | None
"""An amount in a response."""
NewAmount = Decimal | int
"""An amount in a request. A JSON number without a fraction is parsed as an integer."""
DateTime = datetime | None
"""A date in a response, with its offset. In a request it is text until `domain.clock.parse_instant` parses it."""
