"""The sample VIP vehicles that the mock CAS sends and that fill a sample database."""

from collections.abc import Iterator
from math import ceil
from typing import Any

DEFAULT_COUNT = 500
"""The number of sample vehicles, unless another one is given."""


def vehicles(count: int, day: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the sample VIP vehicles of a day, in the form in which CAS sends them.

    From one day to the next, 1 % of the vehicles are removed, as many are added, and 1 % have another description.
    """
    remarks = ["Minister's car", "Embassy vehicle", "State visitor escort", "Judge's car", None]
    dropped = day * ceil(count / 100)
    for number in range(dropped + 1, dropped + count + 1):
        yield {
            "vip_vehicle": f"VIP-{number:07}",
            "vehicle_no": f"S{'BCDFG'[number % 5]}{'ABHKLMP'[number % 7]}{number % 9999 + 1}{'AEKRZ'[number % 5]}",
            "description": f"Seen on day {day}" if day and (number - dropped) % 100 == 1 else remarks[number % 5],
            "status": "INACTIVE" if number % 11 == 0 else "ACTIVE",
        }
