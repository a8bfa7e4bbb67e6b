"""What ``.gitattributes`` and ``.gitignore`` say about a path."""

from collections.abc import Iterable
from functools import lru_cache

from pathspec import GitIgnoreSpec

LFS_SUFFIXES = (
    *("7z", "arrow", "bin", "bz2", "ckpt", "ftz", "gguf", "gz", "h5", "joblib", "mlmodel", "model", "msgpack", "npy", "npz", "onnx", "ot"),
    *("parquet", "pb", "pickle", "pkl", "pt", "pth", "rar", "safetensors", "tar", "tflite", "tgz", "wasm", "xz", "zip", "zst"),
)
_LFS = "filter=lfs diff=lfs merge=lfs -text"
DEFAULT_ATTRIBUTES = "".join(f"*.{suffix} {_LFS}\n" for suffix in LFS_SUFFIXES) + f"saved_model/**/* {_LFS}\n*tfevents* {_LFS}\n"


class PathRules:
    """A set of patterns in the syntax of ``.gitignore``; what git cannot read matches nothing."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._spec = _spec(list(patterns))

    def match(self, path: str) -> bool:
        """Whether a pattern matches the path of a file."""
        return self._spec.match_file(path)


def _spec(patterns: list[str]) -> GitIgnoreSpec:
    try:
        return _compiled(patterns)
    except ValueError:
        return _compiled(pattern for pattern in patterns if _is_readable(pattern))


def _compiled(patterns: Iterable[str]) -> GitIgnoreSpec:
    # With re2, because strangers write these patterns: it takes linear time whatever they are.
    return GitIgnoreSpec.from_lines(patterns, backend="re2")


def _is_readable(pattern: str) -> bool:
    try:
        _compiled([pattern])
    except ValueError:
        return False
    return True


@lru_cache(256)
def lfs_rules(attributes: str) -> PathRules:
    """Which paths a ``.gitattributes`` sends to LFS."""
    lines = (line.split() for line in attributes.splitlines())
    return PathRules(words[0] for words in lines if len(words) > 1 and "filter=lfs" in words and not words[0].startswith("#"))


def ignore_rules(gitignore: str) -> PathRules:
    """Which paths a ``.gitignore`` keeps out."""
    return PathRules(gitignore.splitlines())
