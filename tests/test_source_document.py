"""Every numbered rule of the source document has a test that names it."""

import re
from pathlib import Path

RULES = {
    "1.2": {
        "Process Request: FP and EMCONS notices are filtered",
        "Success: the requested details are returned",
        "Success: EMCON notices are recorded",
        "Success: CAS receives a success response",
        "Invalid Notice Number",
        "Database Error",
        "General Server Error OCMS-5000",
        "Bad Request OCMS-4000",
    },
    "1.3": {
        "Success: the batch is received and validated",
        "Success: all notices are updated",
        "Success: CAS receives a success response",
        '"Dayend" Flag Condition Not Met',
        "Partial Batch Failure",
        "General Server Error OCMS-5000",
        "Validation Error OCMS-4022",
    },
    "1.4": {
        "Success: the complete list is received",
        "Success: the table is truncated",
        "Success: the table is filled with the fresh data",
        "CAS API Unreachable",
        "Empty Response from CAS",
        "Database Failure",
    },
    "2.2": {
        "Success: the request is received from PLUS",
        "Success: the requested details are returned",
        "Success: a court case is recorded",
        "PS-WWP Condition Not Met",
        "Database Error",
        "General Server Error OCMS-5000",
        "Not Found OCMS-4004",
    },
    "3.2": {"Table ocms_vip_vehicle"},
    "3.3": {"Table ocms_cas_emcons"},
    "3.4": {"Table ocms_court_case"},
}
MARK = re.compile(r"""@pytest\.mark\.source\("([\d.]+)", (?:"([^"]+)"|'([^']+)')\)""")


def test_every_rule_of_the_source_document_has_a_test_that_names_it():
    named = {}
    for path in Path(__file__).parent.rglob("test_*.py"):
        for section, *rule in MARK.findall(path.read_text()):
            named.setdefault(section, set()).add("".join(rule))
    assert named == RULES
