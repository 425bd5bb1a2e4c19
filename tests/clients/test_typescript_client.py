"""A TypeScript client, generated from the exported contract: checked by tsc, run against a live server."""

import json
import shutil
import subprocess
from pathlib import Path

from fixtures.settings import CAS_KEY, PLUS_KEY

from contract.document import Contract
from contract.export import export

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "node_modules" / ".bin"
OPTIONS = {
    "compilerOptions": {
        "strict": True,
        "noUncheckedIndexedAccess": True,
        "target": "es2022",
        "module": "nodenext",
        "types": ["node"],
        "typeRoots": [str(ROOT / "node_modules" / "@types")],
    },
    "files": ["outcomes.ts"],
}


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_outcome_is_as_its_types_say(sample_server, closed_server, tmp_path):
    (tmp_path / "ocms.yaml").write_bytes(export(Contract.load("ocms"), "yaml"))
    run(TOOLS / "openapi-typescript", "ocms.yaml", "-o", "ocms.d.ts", cwd=tmp_path)
    shutil.copy(Path(__file__).with_name("outcomes.ts"), tmp_path)
    (tmp_path / "tsconfig.json").write_text(json.dumps(OPTIONS))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    run(TOOLS / "tsc", "--project", "tsconfig.json", cwd=tmp_path)
    output = run("node", "outcomes.js", sample_server, closed_server, CAS_KEY, PLUS_KEY, cwd=tmp_path)
    assert output == "all outcomes as the types say\n"
