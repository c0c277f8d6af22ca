"""A real S3 server for the tests, moto's, and the environment that leads to it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest
from fsspec import get_filesystem_class, url_to_fs

if TYPE_CHECKING:
    from moto.server import ThreadedMotoServer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found


def environment(port: int) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_MAX_ATTEMPTS": "1",
    }


def moto(port: int) -> "ThreadedMotoServer":
    """Return a server that does not run yet."""
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    module = pytest.importorskip("moto.server", reason="moto is not installed")
    server: ThreadedMotoServer = module.ThreadedMotoServer(
        ip_address="127.0.0.1", port=port, verbose=False
    )
    return server


def make_bucket(name: str) -> None:
    url_to_fs("s3://", skip_instance_cache=True)[0].mkdir(name)


def _forget_all(port: int) -> None:
    url = f"http://127.0.0.1:{port}/moto-api/reset"
    urlopen(Request(url, method="POST")).close()


@contextmanager
def s3_server(bucket: str) -> Iterator[dict[str, str]]:
    """Run a server with an empty bucket; yield the environment, which is also set."""
    port = free_port()
    server = moto(port)
    server.start()
    variables = environment(port)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            get_filesystem_class("s3").clear_instance_cache()
            _forget_all(port)  # of another server: they share what they hold
            make_bucket(bucket)
            yield variables
            _forget_all(port)
    finally:
        get_filesystem_class("s3").clear_instance_cache()
        server.stop()
