"""Faults, with real parts: the table is the one that nothing has disturbed.

PostgreSQL comes from Debian's packages (apt-get install postgresql), the cluster from Ray.
"""

import contextlib
import glob
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

import workers
from unrecur.studies.store import Store
from workers import TRIALS, begin, end, kill, small_study, states, timeless, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The results of a study that nothing has disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    process = begin(folder, seconds=0.0)
    said = end(process)
    assert process.returncode == 0, said
    return timeless(json.loads((folder / "results.json").read_text()))


def check(folder, whole, storage=None):
    """Check that no trial is lost or counted twice, and that the table is the undisturbed one."""
    assert timeless(json.loads((folder / "results.json").read_text())) == whole
    again = small_study(folder, storage=storage)  # nothing is left to do, and all is there
    assert timeless(json.loads(json.dumps(again))) == whole
    lines = (folder / "rows.jsonl").read_text().splitlines()
    assert len(lines) == len({(json.loads(r)["model"], json.loads(r)["seed"]) for r in lines}) == 5


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("unrecur.studies.speed.SECONDS", 0.0)
    monkeypatch.setattr("unrecur.studies.estimate.SECONDS", 0.0)


def test_a_killed_worker_loses_no_trial(whole, tmp_path):
    """kill -9 of one of two, in the middle of a trial: the other takes that up at once."""
    first, second = begin(tmp_path, seconds=0.2), begin(tmp_path, seconds=0.2)
    until(lambda: states(tmp_path).get("RUNNING", 0) == 2)
    time.sleep(0.5)
    start = time.monotonic()
    kill(first)
    said = end(second)
    assert second.returncode == 0, said
    assert time.monotonic() - start < 55  # and not after the grace period of 60 s
    assert states(tmp_path) == {"COMPLETE": TRIALS, "FAIL": 1}
    check(tmp_path, whole)


def test_all_killed_and_one_started_again(whole, tmp_path):
    for _ in range(2):
        both = begin(tmp_path, seconds=0.2), begin(tmp_path, seconds=0.2)
        until(lambda: states(tmp_path).get("RUNNING", 0) == 2)
        time.sleep(1.0)
        for process in both:
            kill(process)
    start = time.monotonic()
    last = begin(tmp_path, seconds=0.0)
    said = end(last)
    assert last.returncode == 0, said
    assert time.monotonic() - start < 55
    check(tmp_path, whole)


@pytest.mark.parametrize("size", [20_000, 118_000])  # in the first tables, and in the first rows
def test_a_full_disk_ends_a_worker_with_one_line_and_loses_nothing(size, whole, tmp_path):
    """The limit of a file's size stands for the disk: writes fail in the same places."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    process = begin(tmp_path, seconds=0.0, before=limit)
    said = end(process)
    assert process.returncode == 1
    last = said.strip().splitlines()[-1]
    assert last.startswith("OSError"), said
    process = begin(tmp_path, seconds=0.0)
    assert end(process) == ""
    check(tmp_path, whole)


@pytest.mark.parametrize("jump", ["2000-01-01 00:00:00", "2099-01-01 00:00:00"])
def test_a_jump_of_the_clock_counts_nothing_twice(jump, whole, tmp_path):
    """Signs of life compare times of the database: one that jumps makes the living seem dead."""
    both = [begin(tmp_path, seconds=0.2) for _ in range(2)]
    until(lambda: states(tmp_path).get("RUNNING", 0) == 2)
    for _ in range(20):
        with (
            contextlib.suppress(sqlite3.OperationalError),
            contextlib.closing(sqlite3.connect(tmp_path / "study.db", timeout=10)) as database,
            database,
        ):
            database.execute("update trial_heartbeats set heartbeat = ?", (jump,))
        time.sleep(0.1)
    said = [end(process) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    found = states(tmp_path)
    assert found["COMPLETE"] == TRIALS
    assert (found.get("FAIL", 0) > 0) is jump.startswith("2000")
    check(tmp_path, whole)


class Postgres:
    """A cluster of PostgreSQL's own, in a folder."""

    def __init__(self, folder):
        self.folder, self.data = folder, folder / "data"
        self.bin = Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self.user:
            shutil.chown(folder, "postgres")
        self.run("initdb", "-D", self.data, "-U", "me", "-A", "trust", "--no-sync")
        self.start()
        self.url = f"postgresql://me@127.0.0.1:{self.port}/postgres"

    def run(self, name, *arguments):
        """Run one of PostgreSQL's programs."""
        command = [*self.user, self.bin / name, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder)

    def start(self):
        """Start the server, and wait until it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        log = self.folder / "log"
        self.run("pg_ctl", "-D", self.data, "-l", log, "-w", "-t", "60", "-o", options, "start")

    def kill(self):
        """Kill the server and all that it has started, as a loss of power does."""
        chief = int((self.data / "postmaster.pid").read_text().split()[0])
        listed = subprocess.run(
            ["ps", "--ppid", str(chief), "-o", "pid="], capture_output=True, text=True, check=False
        )
        for pid in [chief, *map(int, listed.stdout.split())]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{chief}").exists() or defunct(chief))


def defunct(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def postgres():
    if not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg")
    folder = Path(f"/tmp/unrecur-postgres-{os.getpid()}-{time.monotonic_ns()}")  # its user reads it
    folder.mkdir()
    server = Postgres(folder)
    yield server
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        server.kill()
    shutil.rmtree(folder, ignore_errors=True)


def test_workers_wait_for_a_database_that_is_killed(postgres, whole, tmp_path):
    """kill -9 of the server and of all its processes, in mid-commit: workers write all the time."""
    both = [begin(tmp_path, postgres.url, 0.15) for _ in range(2)]
    until(lambda: (tmp_path / "checkpoints").exists())
    for _ in range(2):
        time.sleep(1.5)
        postgres.kill()
        time.sleep(2)
        assert all(process.poll() is None for process in both), [end(p) for p in both]
        postgres.start()
    said = [end(process) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    check(tmp_path, whole, postgres.url)


def test_a_worker_on_postgres_is_killed(postgres, whole, tmp_path):
    first, second = (begin(tmp_path, postgres.url, 0.2) for _ in range(2))
    until(lambda: (tmp_path / "checkpoints").exists())
    time.sleep(1)
    kill(first)
    said = end(second)
    assert second.returncode == 0, said
    check(tmp_path, whole, postgres.url)


def test_a_database_that_does_not_answer_is_an_error_soon(tmp_path, monkeypatch):
    pytest.importorskip("psycopg")
    monkeypatch.setattr("unrecur.studies.storage.CONNECT", 2)
    with socket.socket() as deaf:  # takes the connection and never says a word
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        port = deaf.getsockname()[1]
        for url in (
            "postgresql://me:secret@127.0.0.1:1/x",
            f"postgresql://me:secret@127.0.0.1:{port}/x",
        ):
            start = time.monotonic()
            with pytest.raises(OSError, match="cannot work with the database") as error:
                small_study(tmp_path, storage=url)
            assert time.monotonic() - start < 20
            assert "secret" not in str(error.value)


@pytest.fixture
def cluster():
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    here = str(Path(workers.__file__).parent)
    os.environ["PYTHONPATH"] = here  # its workers read the small task there
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    yield made, nodes
    ray.shutdown()
    made.shutdown()
    del os.environ["PYTHONPATH"]


def owners(folder):
    """Give the processes that run a trial."""
    uri = f"file:{folder}/study.db?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=20)) as database:
        found = database.execute(
            "select value_json from trial_user_attributes a join trials t using (trial_id) "
            "where a.key = 'owner' and t.state = 'RUNNING'"
        ).fetchall()
    return [json.loads(owner)["pid"] for (owner,) in found]


def test_a_cluster_loses_a_worker_and_a_node(cluster, whole, tmp_path):
    made, nodes = cluster
    import threading

    def disturb():
        until(lambda: states(tmp_path).get("COMPLETE", 0) >= 1, 200)
        until(lambda: owners(tmp_path), 60)
        os.kill(owners(tmp_path)[0], signal.SIGKILL)
        until(lambda: states(tmp_path).get("COMPLETE", 0) >= 3, 200)
        made.remove_node(nodes[0], allow_graceful=False)
        disturbed.append(True)

    disturbed = []
    thread = threading.Thread(target=disturb)
    thread.start()
    results = small_study(tmp_path, ray=made.address)
    thread.join()
    assert disturbed
    assert timeless(json.loads(json.dumps(results))) == whole
    check(tmp_path, whole)


def test_the_dashboard_reads_the_storage(tmp_path):
    dashboard = pytest.importorskip("optuna_dashboard")
    from wsgiref.util import setup_testing_defaults

    workers.small_study(tmp_path)
    app = dashboard.wsgi(f"sqlite:///{tmp_path}/study.db")
    asked = {"PATH_INFO": "/api/studies", "REQUEST_METHOD": "GET"}
    setup_testing_defaults(asked)
    asked["PATH_INFO"] = "/api/studies"
    answer = json.loads(b"".join(app(asked, lambda *_: None)))
    names = {found["study_name"] for found in answer["study_summaries"]}
    assert names == {"unrecur", "unrecur tuning gru", "unrecur tuning tcn"}
    assert len(Store(tmp_path, {}).rows()) == 5
