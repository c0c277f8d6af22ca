"""Any text in a cookie, and back."""

from hypothesis import given
from hypothesis import strategies as st

from imagebase.ui.identity import decode, encode


@given(st.text())
def test_encoded_text_is_read_back_as_it_was(text: str) -> None:
    clean = text.encode("utf-8", "ignore").decode()
    assert decode(encode(clean)) == clean


@given(st.text(alphabet='";=, \r\n\\é\t%'))
def test_encoded_text_ends_no_cookie(text: str) -> None:
    assert not set(encode(text)) & set('";=, \r\n\\é\t')
