"""How amounts and dates of the contract look in Python; `ocms/contract_types.py` takes them from here."""

from datetime import datetime
from decimal import Decimal

Amount = Decimal | None
"""An amount in an answer."""
NewAmount = Decimal | int
"""An amount in a request: JSON numbers without a fraction are integers."""
DateTime = datetime | None
"""A date in an answer, with its offset; a request has it as text until it is read."""
