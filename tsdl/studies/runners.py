"""Which runner does the runs of a study: processes of this machine, or a cluster."""

from tsdl.studies.cluster import Cluster
from tsdl.studies.pool import Pool, cores


def runner(units: int, jobs: int | None = None, cluster: str | None = None) -> Pool | Cluster:
    """Return where so many units are done: a cluster, or processes (left out, one on each core)."""
    return Cluster(cluster) if cluster else Pool(min(jobs or cores(), units))
