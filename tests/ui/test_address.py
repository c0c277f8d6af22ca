"""Who writes the address: the browser's script at first, Streamlit from then on."""

import pytest

from imagebase.ui import address
from tests.app_fixtures import Tab, the_scope


def test_streamlit_writes_no_address_before_a_run_has_come_to_its_end(
    filled: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        # As where a click cuts each run short: Back would stop at each address.
        patched.setattr(address, "end_run", lambda: None)
        filled.open("export")
        assert not filled.open("train").query_params
    filled.open("export")
    shown = filled.open("train").query_params["dataset"]
    assert shown == the_scope().dataset_id[:12]
