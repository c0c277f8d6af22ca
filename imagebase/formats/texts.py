"""Text files, whatever program wrote them."""

from imagebase.errors import AnnotationFileError


def text_of(data: bytes, file: str) -> str:
    """Return a text file's text: UTF-8 with or without a mark, or UTF-16 with one.

    Raises:
        AnnotationFileError: in another encoding.
    """
    is_utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationFileError(
            f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8."
        ) from error


def lines_of(text: str) -> list[str]:
    """Return lines without their ends; blanks inside and around stay.

    Not `splitlines`: it also splits at characters that a name may hold. A text of the
    first Macs has carriage returns alone.
    """
    ends = "\n" if "\n" in text else "\r"
    return [line.removesuffix("\r") for line in text.split(ends)]
