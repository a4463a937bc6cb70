"""Which runner does the runs of a study: processes of this machine, or a cluster."""

from operator import index

from tsdl.studies.cluster import Cluster
from tsdl.studies.pool import Pool, cores


def runner(units: int, jobs: int | None = None, cluster: str | None = None) -> Pool | Cluster:
    """Return where so many units are done: a cluster, or processes (left out, one on each core)."""
    return Cluster(cluster) if cluster else Pool(min(jobs or cores(), units))


def jobs_of(value: object) -> int:
    """Return a number of processes as Python's own whole number. Raises ValueError for others."""
    try:
        jobs = index(value)  # type: ignore[arg-type]
    except TypeError:
        jobs = 0
    if jobs < 1:
        raise ValueError(f"there are no {value!r} processes: jobs is a whole number from 1 on")
    return jobs
