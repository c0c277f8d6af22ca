"""python -m imagebase backup and restore: whole datasets of a team, of any size."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from imagebase.cli.console import (
    FAILED,
    plain,
    refuse,
    reported_errors,
    say,
    show,
    user_name,
)
from imagebase.settings import TEAM_OWNER, Mode, settings
from imagebase.wording import plural

_Name = Annotated[str, typer.Argument(help="The dataset's name.")]
_To = Annotated[Path, typer.Option("--output", help="The zip to be written.")]
_File = Annotated[Path, typer.Argument(help="A zip that a backup has made.")]


def backup(dataset: _Name, output: _To) -> None:
    """Write a dataset of the team into one zip, with everything known of it.

    Images whose file is missing or damaged are left out, and listed on standard error.
    """
    from imagebase.backup.write import write_backup
    from imagebase.store import Scope, open_store

    with reported_errors():
        store = open_store(settings())
        try:
            named = [one for one in store.datasets(TEAM_OWNER) if one.name == dataset]
            if not named:
                known = ", ".join(one.name for one in store.datasets(TEAM_OWNER))
                refuse(f"There is no dataset {dataset}; there are: {known or 'none'}.")
            if len(named) > 1:
                refuse(f"There are {len(named)} datasets {dataset}; rename one first.")
            scope = Scope(TEAM_OWNER, named[0].dataset_id, user_name())
            folder = output.absolute().parent
            with tempfile.TemporaryDirectory(prefix=".backup-", dir=folder) as drafts:
                draft = Path(drafts) / "backup.zip"
                done = write_backup(store, scope, draft)
                draft.replace(output)
        except OSError as error:
            say(f"{output} cannot be written: {error.strerror or error}.")
            raise typer.Exit(FAILED) from error
        finally:
            store.close()
    for name in done.not_in_it:
        say(f"Not in it: {name}: its file is missing or damaged.")
    boxes = done.rows["annotations"]
    counts = (
        f"{_images(done.rows['images'])}, {boxes:,} box{'' if boxes == 1 else 'es'}"
    )
    show(plain(f"{output}: {counts}"))


def restore(file: _File) -> None:
    """Make a backup a dataset of the team; a damaged one is refused as a whole."""
    from imagebase.annotation import new_id
    from imagebase.backup.restore import Backup
    from imagebase.backup.restore import restore as make_dataset
    from imagebase.store import Scope, open_store

    if not file.is_file():
        refuse(f"{file} is not there; give a zip that a backup has made.")
    with reported_errors():
        limits = settings().limits_for(Mode.TEAM)
        store = open_store(settings())
        try:
            with Backup(file, limits, file_name=file.name) as opened:
                opened.check()
                target = Scope(TEAM_OWNER, new_id(), user_name())
                name = make_dataset(store, target, opened)
                images = opened.manifest.images
        finally:
            store.close()
    show(plain(f"{name}: {_images(images)}"))


def _images(count: int) -> str:
    return plural(count, "image")
