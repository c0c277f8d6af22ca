"""The `backup`, `restore` and `move` commands: whole datasets, of any size."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from imagebase.cli.console import (
    FAILED,
    Quiet,
    local_path,
    plain,
    progress_bar,
    refuse,
    reported_errors,
    say,
    show,
    user_name,
)
from imagebase.errors import AmbiguousDatasetError, NotFoundError
from imagebase.settings import TEAM_OWNER, Mode, settings
from imagebase.wording import plural

_Name = Annotated[str, typer.Argument(help="The dataset's name.")]
_To = Annotated[
    Path, typer.Option("--output", callback=local_path, help="The zip to write.")
]
_File = Annotated[Path | None, typer.Argument(help="A zip that `backup` made.")]
_Copy = Annotated[
    Path | None,
    typer.Option(
        "--database",
        help="In place of a zip: a copy of the whole SQLite database, from the folder "
        "database-copies beside it. Stop the app first.",
    ),
]


_NewDatabase = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="IMAGEBASE_NEW_DATABASE_URL",
        metavar="URL",
        help="An empty database, such as postgresql://user@host/name. Give a URL with "
        "a password by the variable instead.",
    ),
]
_NewStorage = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="IMAGEBASE_NEW_STORAGE_URL",
        metavar="PLACE",
        help="A folder, or a URL such as s3://bucket/images. Default: images stay.",
    ),
]


def backup(dataset: _Name, output: _To) -> None:
    """Back up a dataset of the app into one zip: images, boxes and history.

    Images whose file is missing or damaged are left out and listed on standard error.
    """
    from imagebase.backup.write import write_backup
    from imagebase.store.dataset_reader import open_dataset

    with reported_errors():
        try:
            opened = open_dataset(dataset, who=user_name())
        except (NotFoundError, AmbiguousDatasetError) as error:
            refuse(str(error))
        folder = output.absolute().parent
        try:
            with (
                opened,
                tempfile.TemporaryDirectory(prefix=".backup-", dir=folder) as drafts,
            ):
                draft = Path(drafts) / "backup.zip"
                done = write_backup(opened.store, opened.scope, draft)
                draft.replace(output)
        except OSError as error:
            say(f"{output} cannot be written: {error.strerror or error}.")
            raise typer.Exit(FAILED) from error
    for name in done.not_in_it:
        say(f"Not in it: {name}: its file is missing or damaged.")
    images, boxes = done.rows["images"], done.rows["annotations"]
    show(plain(f"{output}: {plural(images, 'image')}, {plural(boxes, 'box')}"))


def restore(file: _File = None, database: _Copy = None) -> None:
    """Restore a backup as a new dataset; a damaged zip is refused as a whole.

    With --database, put a copy of the database back in its place.
    """
    if (file is None) == (database is None):
        refuse("Give either the zip of a backup, or --database and a copy.")
    with reported_errors():
        if database is not None:
            _restore_database(database)
        elif file is not None:
            _restore_zip(file)


def _restore_zip(file: Path) -> None:
    from imagebase.annotation import new_id
    from imagebase.backup.restore import Backup
    from imagebase.backup.restore import restore as make_dataset
    from imagebase.store import Scope, open_store

    if not file.is_file():
        refuse(f"{file} is not there; give a zip that a backup has made.")
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
    show(plain(f"{name}: {plural(images, 'image')}"))


def _restore_database(copy: Path) -> None:
    from imagebase.store.database import Database
    from imagebase.store.database_copies import made_at, restore_copy

    database = Database(settings().database_url)
    database.close()
    if database.path is None:
        refuse(
            "The database is on a server, so --database does not restore it; restore a "
            "backup of the server."
        )
    former = restore_copy(database.path, copy.absolute())
    show(plain(f"{database.path}: as of {made_at(copy):%Y-%m-%d %H:%M} UTC"))
    if former is not None:
        say(f"The former database is now {former}.")


def move(
    database: _NewDatabase, storage: _NewStorage = "", quiet: Quiet = False
) -> None:
    """Copy all datasets to another database, and their images to another place.

    Stop the app first. What is copied is read back and compared; the old database and
    images stay. Run it again to resume.
    """
    from imagebase.store.store_copy import copy_store

    with reported_errors(), progress_bar(quiet=quiet) as on_progress:
        here = settings()
        there = replace(
            here, database_url=database, storage_url=storage or here.storage_url
        )
        done = copy_store(here, there, on_progress=on_progress)
    for name in done.missing:
        say(f"The file was missing or damaged before the copy: {name}")
    verb = "Already there" if done.was_there else "Copied"
    show(
        f"{verb}, read back and compared: {plural(done.datasets, 'dataset')}, "
        f"{plural(done.images, 'image')} ({done.byte_count / 1e6:,.1f} MB), "
        f"{plural(done.boxes, 'box')}, {plural(done.rows, 'row')} in all."
    )
    show(
        "Set IMAGEBASE_DATABASE_URL"
        f"{' and IMAGEBASE_STORAGE_URL' if storage else ''} to the new place and start "
        "the app. The old database and images are unchanged."
    )
