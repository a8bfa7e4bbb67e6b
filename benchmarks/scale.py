"""Row ``scale``: what the same request costs among 100,000 repositories, against what it costs among 1,000."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from benchmarks.commits import commit_request
from benchmarks.load import measure, request
from benchmarks.measure import alternate
from benchmarks.report import Figure, Target
from benchmarks.resolve import adapter
from benchmarks.seed import COMMON_TAG, author, rare_tag, repo_id, sample, seed
from benchmarks.servers import OWNER, Bed, Served
from hub.settings import Settings

FEW, MANY = 1_000, 100_000
TARGET = Target(1.3, at_least=False)
Requests = Callable[[Served, int], list[bytes]]


def scale(bed: Bed) -> Iterator[Figure]:
    """Mean times of resolve, info, commit and lists over one connection, both hubs in turn."""
    many = MANY // 10 if bed.quick else MANY
    for database in bed.databases:
        with bed.hub(database, partial(_fill, count=FEW)) as small, bed.hub(database, partial(_fill, count=many)) as large:
            for what, requests in OPERATIONS.items():
                ours, reference = requests(large, many), requests(small, FEW)
                times = alternate(
                    partial(_milliseconds, bed, large, ours),
                    partial(_milliseconds, bed, small, reference),
                    bed.rounds(5),
                )
                yield Figure("scale", f"{what}, {many:,} repositories against {FEW:,}", database, *times, "ms", TARGET)


def _fill(served: Served, count: int) -> None:
    template = adapter(served, "template")
    hub = served.hub
    settings = Settings(data_dir=hub.data_dir, database_url=hub.database_url)
    seed(settings.database, template, count, OWNER)


def _milliseconds(bed: Bed, served: Served, requests: Sequence[bytes]) -> float:
    return measure(served.hub.port, requests, connections=1, seconds=bed.seconds(2)).mean_ms


def _get(target: Callable[[int], str]) -> Requests:
    return lambda _, count: [request("GET", target(number)) for number in sample(count)]


OPERATIONS: dict[str, Requests] = {
    "resolve": _get(lambda number: f"/{repo_id(number)}/resolve/main/adapter_config.json"),
    "info": _get(lambda number: f"/api/models/{repo_id(number)}"),
    "list by author": _get(lambda number: f"/api/models?author={author(number)}&limit=20"),
    "list by a tag of 50": _get(lambda number: f"/api/models?filter={rare_tag(number)}&limit=20"),
    "list by a tag of every tenth": _get(lambda _: f"/api/models?filter={COMMON_TAG}&limit=20"),
    "commit": lambda served, count: [commit_request(served, repo_id(number)) for number in sample(count)],
}
