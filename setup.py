"""Put the workflow into the wheel; everything else about the package is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
# What `platefuse run` needs; platefuse/command/shipped.py finds it in the installed package.
SHIPPED = ("Snakefile", "workflow", "scripts", "profiles", "environment.yml")


class BuildWithWorkflow(build_py):
    """Copies the workflow into the package, unless the clone is installed as it is."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._copies():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        own = [] if self.editable_mode else [str(target) for _, target in self._copies()]
        return [*super().get_outputs(include_bytecode), *own]

    def _copies(self) -> list[tuple[Path, Path]]:
        folder = Path(self.build_lib, "platefuse", "_workflow")
        found = [p for name in SHIPPED for p in (ROOT / name, *(ROOT / name).rglob("*"))]
        files = [p for p in found if p.is_file() and "__pycache__" not in p.parts]
        return [(path, folder / path.relative_to(ROOT)) for path in files]


setup(cmdclass={"build_py": BuildWithWorkflow})
