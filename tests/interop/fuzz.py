"""Fuzz the readers by coverage, with atheris: not part of the gate.

    pip install '.[test,fuzz]' && python tests/interop/fuzz.py [SECONDS]

Each format gets its share of the seconds (60) in a process of its own, from a good file of its own;
what is neither one of our errors nor a recurrence ends it with a trace and exit code 1.
"""

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

SECONDS = 60
LARGEST = 2**16  # bytes


def fuzz(seed: Path, seconds: int) -> None:
    """Fuzz one format, until the time is over or something breaks."""
    import atheris

    with atheris.instrument_imports(include=["unrecur.interop"]):
        from unrecur import InputError
        from unrecur.interop.read import read_recurrences

    path = seed.parent / f"fuzzed{seed.suffix}"

    def one(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            read_recurrences(path)

    corpus = seed.parent / f"corpus{seed.suffix}"
    corpus.mkdir()
    (corpus / "seed").write_bytes(seed.read_bytes())
    options = [f"-max_total_time={seconds}", f"-max_len={LARGEST}", "-rss_limit_mb=8192"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def main(seconds: int) -> int:
    """Fuzz all formats one after another."""
    from interop.seeds import seeds

    with tempfile.TemporaryDirectory() as folder:
        files = seeds(Path(folder))
        share = max(1, seconds // len(files))
        broken = []
        for seed in files:
            print(f"--- {seed.suffix}, {share} s", flush=True)
            command = [sys.executable, __file__, "--one", str(seed), str(share)]
            if subprocess.run(command, check=False).returncode:
                broken.append(seed.suffix)
    print(f"broken: {broken}" if broken else "nothing broke")
    return bool(broken)


if __name__ == "__main__":
    if "--one" in sys.argv:
        fuzz(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS))
