"""The box table: origin of the boxes."""

from dataclasses import replace

from imagebase.annotation import new_id
from imagebase.store import Scope
from imagebase.ui.identity import TEAM_OWNER
from tests.app_fixtures import Tab, add_photographs, records, store, the_scope


def test_table_of_equal_boxes_in_another_dataset_holds_those(labelled: Tab) -> None:
    first = records()[0]
    begun = store().create_dataset(TEAM_OWNER, "Second", who="ann")
    second = Scope(TEAM_OWNER, begun.dataset_id, "ann")
    add_photographs(second)
    twins = [
        replace(annotation, annotation_id=new_id()) for annotation in first.annotations
    ]
    fresh = store().record(second, first.image_id)
    store().save(second, replace(fresh, annotations=tuple(twins)))

    labelled.open("edit")
    labelled.app.sidebar.selectbox[0].select(begun.dataset_id).run()
    assert the_scope().dataset_id == begun.dataset_id
    table = labelled.app.session_state["imagebase.table.edit.table"]
    held = [
        annotation.annotation_id for annotation in table.fillings[table.version].base
    ]
    assert held == [twin.annotation_id for twin in twins]
