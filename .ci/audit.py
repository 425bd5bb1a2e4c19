"""Report known vulnerabilities of the locked packages, or that the vulnerability service cannot be reached."""

import json
import subprocess
import sys
from pathlib import Path

REPORT = Path("build/audit.json")


def main() -> None:
    """Print each vulnerability on a line. Exit code 1 when there is one."""
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text('{"dependencies": []}')
    command = [str(Path(sys.executable).with_name("pip-audit")), "--requirement=requirements-dev.lock", "--disable-pip"]
    options = ["--progress-spinner=off", "--format=json", f"--output={REPORT}"]
    subprocess.run([*command, *options], stderr=subprocess.DEVNULL, check=False)  # noqa: S603  # our own tool
    packages = json.loads(REPORT.read_text())["dependencies"]
    asked = [package for package in packages if "vulns" in package]
    for package in asked:
        for found in package["vulns"]:
            print(
                package["name"], package["version"], found["id"], "fixed in", *found["fix_versions"] or ["no version"]
            )
    print(f"{len(asked)} packages were audited." if asked else "No package was audited: nobody can be asked from here.")
    sys.exit(any(package["vulns"] for package in asked))


if __name__ == "__main__":
    main()
