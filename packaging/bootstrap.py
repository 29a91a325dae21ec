"""From a fresh clone to a running Tunesmith, with nothing but Python.

    python3 packaging/bootstrap.py start     open the window, or run the demo where there is none
    python3 packaging/bootstrap.py test      run the test suite

Makes a virtual environment beside pyproject.toml, installs the exact versions of constraints.txt,
and uses it again as long as neither file changes. What stands after `--` is passed on.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "tunesmith.json"
LOG = VENV / "install.log"
CONSTRAINTS = ROOT / "packaging" / "constraints.txt"
OLDEST = (3, 11)
NEEDED_BYTES = 8_000_000_000
"""Free space an installation with CUDA takes at most."""

# library: its package for apt-get, dnf and pacman
DRAWING = {
    "libEGL.so.1": ("libegl1", "libglvnd-egl", "libglvnd"),
    "libGL.so.1": ("libgl1", "libglvnd-glx", "libglvnd"),
    "libxkbcommon.so.0": ("libxkbcommon0", "libxkbcommon", "libxkbcommon"),
    "libdbus-1.so.3": ("libdbus-1-3", "dbus-libs", "dbus"),
    "libfontconfig.so.1": ("libfontconfig1", "fontconfig", "fontconfig"),
    "libglib-2.0.so.0": ("libglib2.0-0", "glib2", "glib2"),
}
SCREEN = {
    "libX11-xcb.so.1": ("libx11-xcb1", "libX11-xcb", "libx11"),
    "libxcb-cursor.so.0": ("libxcb-cursor0", "xcb-util-cursor", "xcb-util-cursor"),
    "libxcb-icccm.so.4": ("libxcb-icccm4", "xcb-util-wm", "xcb-util-wm"),
    "libxcb-image.so.0": ("libxcb-image0", "xcb-util-image", "xcb-util-image"),
    "libxcb-keysyms.so.1": ("libxcb-keysyms1", "xcb-util-keysyms", "xcb-util-keysyms"),
    "libxcb-render-util.so.0": (
        "libxcb-render-util0",
        "xcb-util-renderutil",
        "xcb-util-renderutil",
    ),
    "libxcb-shape.so.0": ("libxcb-shape0", "libxcb", "libxcb"),
    "libxkbcommon-x11.so.0": ("libxkbcommon-x11-0", "libxkbcommon-x11", "libxkbcommon-x11"),
}
INSTALLERS = (
    ("apt-get", "sudo apt-get install -y --no-install-recommends"),
    ("dnf", "sudo dnf install -y"),
    ("pacman", "sudo pacman -S --needed"),
)
SIDE_BY_SIDE = ("-n", "auto", "--maxprocesses", "4", "--dist", "loadfile",
                "--no-loadscope-reorder")  # fmt: skip
"""One process per core, each with its own files of tests; every one loads torch (2 GB)."""
CAUSES = (
    (
        ("No space left on device", "Errno 28", "not enough space on the disk"),
        "The disk is full.",
        "Free about 8 GB and run the same command again.",
    ),
    (
        (
            "Temporary failure in name resolution",
            "Failed to establish a new connection",
            "NewConnectionError",
            "NameResolutionError",
            "getaddrinfo failed",
            "ProxyError",
            "Network is unreachable",
            "ConnectTimeoutError",
            "Connection refused",
            "Read timed out",
        ),
        "The package index cannot be reached.",
        "Check the network and the proxy settings of pip, then run the same command again.",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED",),
        "The package index shows a certificate that this computer does not trust.",
        "Behind a company proxy, tell pip about its certificate: pip config set global.cert FILE",
    ),
    (
        ("Permission denied", "Errno 13", "WinError 5]"),
        "A file of the installation cannot be written.",
        "Close programs that use the .venv folder, check who owns it, or add --recreate.",
    ),
    (
        ("No matching distribution found", "ResolutionImpossible", "conflicting dependencies"),
        "A package does not exist for this Python or system in the version that is needed.",
        "Use Python 3.11, 3.12 or 3.13 in 64 bits on Linux, Windows or macOS.",
    ),
)


class Trouble(Exception):
    """Something the user can act on: what happened, and what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


def main(argv: Sequence[str] | None = None) -> int:
    """Start Tunesmith or its tests; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    own, passed_on = split_words(words)
    arguments = make_parser().parse_args(own)
    try:
        check_python(sys.version_info[:2], sys.maxsize)
        job = start if arguments.job == "start" else test
        return job(arguments, passed_on)
    except Trouble as trouble:
        print(f"error: {trouble}\nhint: {trouble.hint}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def split_words(words: list[str]) -> tuple[list[str], list[str]]:
    """Our own words, and what stands after `--`."""
    if "--" not in words:
        return words, []
    cut = words.index("--")
    return words[:cut], words[cut + 1 :]


def make_parser() -> argparse.ArgumentParser:
    """The two jobs and their options."""
    parser = argparse.ArgumentParser(
        prog="bootstrap.py", description="Install Tunesmith into .venv, then start it or test it."
    )
    parser.add_argument("job", choices=("start", "test"))
    parser.add_argument("--recreate", action="store_true", help="make .venv from scratch")
    parser.add_argument(
        "--torch-index",
        metavar="ADDRESS",
        help="take torch from this index; pytorch.org names the one for your graphics driver",
    )
    return parser


def check_python(version: tuple[int, ...], largest: int) -> None:
    """Raises Trouble for a Python that cannot run Tunesmith."""
    if version < OLDEST or largest < 2**32:
        bits = 64 if largest > 2**32 else 32
        raise Trouble(
            f"Tunesmith needs Python 3.11 or newer in 64 bits; this is {version[0]}.{version[1]} "
            f"in {bits} bits.",
            "Install a newer Python and start this file with it, for instance: "
            "python3.12 packaging/bootstrap.py start",
        )


def start(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Open the window, or run the demo in the terminal where there is no display."""
    prepare(("gui", "engine"), arguments)
    if not has_display(sys.platform, os.environ):
        say("No display was found: running the demo in the terminal.")
        return run([python(), "-I", "-m", "core", "demo", *passed_on])
    provide_libraries({**DRAWING, **SCREEN})
    say("Opening the window.")
    return run([python(), "-I", "-m", "gui", *passed_on])


def test(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Run the whole default test suite, drawing on an offscreen screen."""
    prepare(("gui", "engine", "test"), arguments)
    provide_libraries(DRAWING)
    say("Running the tests.")
    # one thread of torch per process: several would only wait for each other
    offscreen = {"OMP_NUM_THREADS": "1", **os.environ, "QT_QPA_PLATFORM": "offscreen"}
    return run([python(), "-m", "pytest", *SIDE_BY_SIDE, *passed_on], env=offscreen, cwd=ROOT)


def has_display(system: str, environment: Iterable[str]) -> bool:
    """Whether a window can be shown."""
    return system != "linux" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & set(environment))


def say(sentence: str) -> None:
    """Tell the user what happens now."""
    print(sentence, flush=True)


def python() -> str:
    """The interpreter of the virtual environment."""
    inside = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return str(VENV.joinpath(*inside))


def run(command: list[str], env: dict[str, str] | None = None, cwd: Path | None = None) -> int:
    """Run a child in the foreground; Ctrl-C is the child's to handle."""
    child = subprocess.Popen(command, env=env, cwd=cwd)
    signal.signal(signal.SIGINT, lambda *_: None)
    return child.wait()


def prepare(extras: tuple[str, ...], arguments: argparse.Namespace) -> None:
    """Make `.venv` hold what is needed; quick when it does already."""
    if not arguments.recreate and is_ready(extras):
        return
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES:
        say(f"Only {free / 1e9:.1f} GB are free on this disk; up to 8 GB may be needed.")
    STAMP.unlink(missing_ok=True)
    make_environment(fresh=arguments.recreate)
    install(extras, arguments.torch_index)
    STAMP.write_text(json.dumps({"digest": digest(), "extras": extras}), encoding="utf-8")


def is_ready(extras: tuple[str, ...]) -> bool:
    """Whether `.venv` was completed for these files and has these extras."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(stamp, dict) or stamp.get("digest") != digest():
        return False
    return set(extras) <= set(stamp.get("extras", ()))


def digest() -> str:
    """Stands for everything an installation depends on."""
    parts = [CONSTRAINTS.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), str(ROOT).encode()]
    parts.append(f"{sys.version_info[:2]} {platform.machine()}".encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def make_environment(*, fresh: bool) -> None:
    """A virtual environment with pip. Raises Trouble when Python came without the parts."""
    if not fresh and environment_works():
        return
    say(f"Making a virtual environment in {VENV}.")
    try:
        import ensurepip  # noqa: F401 - Debian and Ubuntu ship it in a package of its own
    except ImportError as error:
        package = f"python3.{sys.version_info[1]}-venv"
        raise Trouble(
            "This Python cannot make virtual environments: the module ensurepip is missing.",
            f"On Debian and Ubuntu: sudo apt-get install {package} (or python3-venv).",
        ) from error
    try:
        venv.create(VENV, clear=True, with_pip=True, symlinks=os.name != "nt")
    except (OSError, subprocess.CalledProcessError) as error:
        raise Trouble(
            f"The virtual environment could not be made: {error}",
            "Check that the folder of Tunesmith can be written and the disk has space.",
        ) from error


def environment_works() -> bool:
    """Whether the interpreter there starts and has pip."""
    try:
        asked = subprocess.run(
            [python(), "-m", "pip", "--version"], capture_output=True, check=False
        )
    except OSError:
        return False
    return asked.returncode == 0


def install(extras: tuple[str, ...], torch_index: str | None) -> None:
    """Install Tunesmith in place with the exact versions of constraints.txt."""
    LOG.unlink(missing_ok=True)
    card = has_nvidia()
    say(advice(sys.platform, card=card, index=torch_index))
    if torch_index:
        pip("--index-url", torch_index, "torch")
    say("Installing the other packages; the first time this takes minutes.")
    pip("-e", f"{ROOT}[{','.join(extras)}]")


def has_nvidia() -> bool:
    """Whether an NVIDIA card with a driver is in this computer."""
    windows = Path(os.environ.get("SYSTEMROOT", "")) / "System32" / "nvidia-smi.exe"
    driver = Path("/proc/driver/nvidia/version")
    return bool(shutil.which("nvidia-smi")) or driver.exists() or windows.is_file()


def advice(system: str, *, card: bool, index: str | None) -> str:
    """Which build of PyTorch will be installed, and what to do when another one is wanted."""
    if index:
        return f"Taking PyTorch from {index}."
    if card and system == "win32":
        return (
            "An NVIDIA card was found, but the default PyTorch for Windows cannot use it. Training "
            "will run on the processor. For the card, stop now, look up the index for your driver "
            "at pytorch.org/get-started/locally, and add --recreate --torch-index ADDRESS."
        )
    if card:
        return "An NVIDIA card was found: installing PyTorch for it."
    if system == "linux":
        return (
            "No NVIDIA card was found: training will run on the processor. PyTorch's smaller "
            "build for processors can be chosen with --torch-index."
        )
    return "No NVIDIA card was found: training will run on the processor."


def pip(*words: str) -> None:
    """Run `pip install`, naming each package as it comes. Raises Trouble in plain words."""
    command = [python(), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    child = subprocess.Popen(
        [*command, "-c", str(CONSTRAINTS), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    output = []
    assert child.stdout is not None
    with LOG.open("a", encoding="utf-8") as log, child.stdout as lines:
        for line in lines:
            output.append(line)
            log.write(line)
            if line.startswith(("Collecting ", "Installing collected")):
                say("  " + line.strip()[:90])
    if child.wait():
        raise explain("".join(output))


def explain(output: str) -> Trouble:
    """What pip's complaint means."""
    for signs, what, hint in CAUSES:
        if any(sign in output for sign in signs):
            return Trouble(what, f"{hint} Details: {LOG}")
    last = [line for line in output.splitlines() if line.strip()][-3:]
    return Trouble(f"The installation failed: {' '.join(last)}", f"Details: {LOG}")


def provide_libraries(wanted: dict[str, tuple[str, str, str]]) -> None:
    """Make sure that the system libraries Qt draws with are there. Only Linux lacks any."""
    missing = missing_libraries(wanted) if sys.platform == "linux" else []
    if not missing:
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        install_packages([wanted[name][0] for name in missing])
        missing = missing_libraries(wanted)
    if missing:
        raise Trouble(
            f"The window needs system libraries that are missing: {', '.join(missing)}.",
            how_to_install([wanted[name] for name in missing]),
        )


def missing_libraries(wanted: Iterable[str]) -> list[str]:
    """Those the system cannot load."""
    return [name for name in wanted if not loads(name)]


def loads(library: str) -> bool:
    """Whether the system can load a library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def how_to_install(packages: list[tuple[str, str, str]]) -> str:
    """The command for the package tool of this system, or of all that we know."""
    lines = [
        f"{command} {' '.join(sorted({names[position] for names in packages}))}"
        for position, (tool, command) in enumerate(INSTALLERS)
        if shutil.which(tool)
    ]
    names = sorted({names[0] for names in packages})
    return " or ".join(lines) or f"Install the packages that Debian calls {', '.join(names)}."


def install_packages(names: list[str]) -> None:
    """Install system packages as root; a failure shows when the libraries are looked for again."""
    say(f"Installing system libraries for the window: {', '.join(names)}.")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=False)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names]
    subprocess.run(command, env=quiet, check=False)


if __name__ == "__main__":
    sys.exit(main())
