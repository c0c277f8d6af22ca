"""Caches between reruns, each bounded: images, tiles, candidates, tables."""

import base64
import contextlib
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import Final

import streamlit as st

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    LabelSet,
    ReviewStatus,
    Size,
)
from imagebase.annotation.areas import Shape
from imagebase.annotation.coverage import is_inside
from imagebase.assist.label_guess import label_views
from imagebase.assist.pointing import (
    ASSIST_MODELS,
    NARROWEST_VIEW,
    PointCandidates,
    closer_views,
)
from imagebase.detection.candidate_pool import CandidatePool
from imagebase.detection.candidates import Candidates, unpack
from imagebase.detection.detector import ONE_PASS, Detector
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.detection.library import all_models, find_model, library_of
from imagebase.detection.library import classifiers as own_classifiers
from imagebase.detection.model_files import Model
from imagebase.errors import ImageBaseError, ImageFileError, ImageReadError, LimitError
from imagebase.images.decode import (
    LoadedImage,
    RgbArray,
    detail_jpeg,
    display_jpeg,
    encode_jpeg,
    load_image,
    resized,
)
from imagebase.images.draw import draw_annotations, draw_ignored, draw_marks
from imagebase.images.thumbnails import crop_webp, inner_size, placeholder, tile_webp
from imagebase.jobs.inference import candidates_key
from imagebase.jobs.scoring import names_in_dataset
from imagebase.learning.taught_models import publish
from imagebase.store import CandidatesKey, JobInfo, Scope
from imagebase.store.statistics import BoxTable, ImageTable
from imagebase.ui import services
from imagebase.ui.identity import visitor

THUMBNAIL_PX: Final = 480
TILE: Final = Size(300, 225)
CROP_PX: Final = 64
DISPLAY_PX: Final = 1600
CANVAS_PX: Final = 960
_UNREADABLE: Final = (ImageFileError, ImageReadError, LimitError)


def thumbnail(scope: Scope, image_id: str) -> bytes:
    """Return a JPEG of an image, its longest side 480 px."""

    def make(data: bytes) -> bytes:
        return display_jpeg(
            data,
            file_name=image_id,
            max_pixels=services.limits().max_image_pixels,
            longest_side=THUMBNAIL_PX,
        )

    return services.store().thumbnail(scope, image_id, make)


@st.cache_data(max_entries=64, show_spinner=False)
def display_picture(
    owner_id: str, dataset_id: str, image_id: str, longest_side: int = DISPLAY_PX
) -> bytes:
    """Return a JPEG of an image for the editor, its sides at most `longest_side`."""
    scope = Scope(owner_id, dataset_id, "")
    return display_jpeg(
        services.store().image_bytes(scope, image_id),
        file_name=image_id,
        max_pixels=services.limits().max_image_pixels,
        longest_side=longest_side,
    )


@st.cache_data(max_entries=32, show_spinner=False)
def detail_picture(owner_id: str, dataset_id: str, image_id: str, region: Box) -> bytes:
    """Return a JPEG of a region of an image, its sides at most 1600 px.

    region: whole pixels of the image; may reach over its edges.
    """
    scope = Scope(owner_id, dataset_id, "")
    return detail_jpeg(
        services.store().image_bytes(scope, image_id),
        region,
        file_name=image_id,
        max_pixels=services.limits().max_image_pixels,
        longest_side=DISPLAY_PX,
    )


@lru_cache(maxsize=16)
def ignored_picture(scope: Scope, image_id: str, shapes: tuple[Shape, ...]) -> bytes:
    """Return an image at 960 px with hatched ignore areas."""
    where = (scope.owner_id, scope.dataset_id, image_id)
    picture = display_picture(*where, CANVAS_PX)
    if not shapes:
        return picture
    rgb = load_image(picture, file_name=image_id, max_pixels=CANVAS_PX**2).rgb
    size = services.store().record(scope, image_id).size
    return encode_jpeg(draw_ignored(rgb, shapes, from_size=size), quality=85)


def marked_picture(
    scope: Scope, image_id: str, revision: int, shapes: tuple[Shape, ...]
) -> bytes:
    """Return an image at 960 px with its boxes and a reviewer's marks.

    revision: of the image; its boxes change with it.
    """
    # A label that is renamed, or gets another colour, changes no revision.
    labels = services.store().labels(scope)
    return _marked_picture(scope, image_id, revision, labels, shapes)


@lru_cache(maxsize=16)
def _marked_picture(
    scope: Scope,
    image_id: str,
    revision: int,
    labels: LabelSet,
    shapes: tuple[Shape, ...],
) -> bytes:
    where = (scope.owner_id, scope.dataset_id, image_id)
    picture = display_picture(*where, CANVAS_PX)
    rgb = load_image(picture, file_name=image_id, max_pixels=CANVAS_PX**2).rgb
    record = services.store().record(scope, image_id)
    size = record.size
    drawn = draw_annotations(rgb, record.annotations, labels=labels, from_size=size)
    return encode_jpeg(draw_marks(drawn, shapes, from_size=size), quality=85)


def plain_tile(scope: Scope, image_id: str, file_name: str) -> str:
    """Return an image as a grid tile in a data URL.

    A placeholder where its file is unreadable.
    """
    try:
        return _plain_tile(scope, image_id)
    except _UNREADABLE:
        return placeholder(file_name, TILE)


@lru_cache(maxsize=512)
def _plain_tile(scope: Scope, image_id: str) -> str:
    picture = _opened(thumbnail(scope, image_id))
    inner = resized(picture.rgb, inner_size(picture.size, TILE))
    return tile_url(inner)


def whole_picture(scope: Scope, record: ImageRecord) -> str:
    """Return an image at 480 px in a data URL, its ignore areas hatched.

    A placeholder where its file is unreadable.
    """
    try:
        jpeg = thumbnail(scope, record.image_id)
    except _UNREADABLE:
        return no_picture(record)
    if record.ignored:
        rgb = draw_ignored(_opened(jpeg).rgb, record.ignored, from_size=record.size)
        jpeg = encode_jpeg(rgb, quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def no_picture(record: ImageRecord) -> str:
    """Return the placeholder of an unreadable image, in a data URL."""
    return placeholder(record.file_name, TILE)


def labelled_tile(
    scope: Scope,
    record: ImageRecord,
    labels: LabelSet,
    annotations: Sequence[Annotation],
    *,
    highlighted: frozenset[str] = frozenset(),
) -> str:
    """Return an image with these boxes as a grid tile in a data URL."""
    try:
        picture = _opened(thumbnail(scope, record.image_id))
    except _UNREADABLE:
        return no_picture(record)
    # Drawn at display size, so that text stays legible.
    drawn = draw_annotations(
        resized(picture.rgb, inner_size(picture.size, TILE)),
        annotations,
        labels=labels,
        from_size=record.size,
        highlighted=highlighted,
    )
    return tile_url(drawn)


def tile_url(rgb: RgbArray) -> str:
    """Return an image, no larger than a tile, as a grid tile in a data URL."""
    return _data_url(tile_webp(rgb, TILE))


def labelled_picture(
    scope: Scope,
    record: ImageRecord,
    labels: LabelSet,
    *,
    highlighted: Collection[str],
    marks: Sequence[Shape] = (),
) -> bytes | str:
    """Return an image at 480 px with its record's boxes, or a placeholder.

    Ignore areas are hatched. marks: of a reviewer.
    """
    try:
        picture = _opened(thumbnail(scope, record.image_id))
    except _UNREADABLE:
        return no_picture(record)
    drawn = draw_annotations(
        draw_ignored(picture.rgb, record.ignored, from_size=record.size)
        if record.ignored
        else picture.rgb,
        record.annotations,
        labels=labels,
        from_size=record.size,
        highlighted=highlighted,
    )
    if marks:
        drawn = draw_marks(drawn, marks, from_size=record.size)
    return encode_jpeg(drawn, quality=90)


def crop_data_url(scope: Scope, image_id: str, size: Size, box: Box) -> str:
    """Return a crop of a box for a table, as a data URL.

    Empty where the image's file is unreadable.
    """
    try:
        return _crop_data_url(scope, image_id, size, box)
    except _UNREADABLE:
        return ""


@lru_cache(maxsize=4096)
def _crop_data_url(scope: Scope, image_id: str, size: Size, box: Box) -> str:
    picture = LoadedImage(_opened(thumbnail(scope, image_id)).rgb, size)
    return _data_url(crop_webp(picture, box, longest_side=CROP_PX))


def _data_url(webp: bytes) -> str:
    # Streamlit would re-encode WebP bytes at every run of the page.
    return "data:image/webp;base64," + base64.b64encode(webp).decode("ascii")


def _opened(jpeg: bytes) -> LoadedImage:
    return load_image(jpeg, file_name="thumbnail", max_pixels=THUMBNAIL_PX**2)


def models() -> dict[str, Model]:
    """Return all models by name: the default, the bundled ones, the user's own.

    Models that datasets have been taught meanwhile, here or elsewhere, are among them.
    """
    owner_id = visitor().owner_id
    publish(services.store(), owner_id)
    known = all_models(owner_id)
    titles = Counter(model.title for model in known)
    return {
        model.name: model
        if titles[model.title] == 1
        else replace(model, title=f"{model.title} · {model.name}")
        for model in known
    }


def classifiers() -> list[Model]:
    """Return the models this visitor added that propose image tags."""
    return own_classifiers(visitor().owner_id)


def model_labels() -> tuple[str, ...]:
    """Return the labels of all models, each once."""
    return _model_labels(visitor().owner_id)


@st.cache_data(max_entries=64, ttl=60, show_spinner=False)
def _model_labels(owner_id: str) -> tuple[str, ...]:
    every = (model.labels for model in all_models(owner_id))
    return tuple(dict.fromkeys(chain.from_iterable(every)))


def model_called(name: str) -> Model | None:
    """Return a model by its current or a former name; None if there is none."""
    known = models().get(name)
    with contextlib.suppress(ImageBaseError):
        return known or library_of(visitor().owner_id).find(name)
    return None


def detector(setup: ModelConfig) -> Detector:
    """Return the detector of a configuration; loads the model at first use."""
    with st.spinner("Loading the model …"):
        return configured_detector(setup, owner_id=visitor().owner_id)


def image_ids(
    scope: Scope, *, statuses: Collection[ReviewStatus] | None = None
) -> tuple[str, ...]:
    """Return the ids of the images that stand there, in upload order.

    Read once for all that a page's run asks for; None is every status.
    """
    version = services.store().version(scope)
    wanted = None if statuses is None else tuple(statuses)
    return _image_ids(scope.owner_id, scope.dataset_id, version, wanted)


@lru_cache(maxsize=4)
def _image_ids(
    owner_id: str,
    dataset_id: str,
    version: str,
    statuses: tuple[ReviewStatus, ...] | None,
) -> tuple[str, ...]:
    scope = Scope(owner_id, dataset_id, "")
    return tuple(services.store().image_ids(scope, statuses=statuses))


def candidates(
    owner_id: str, dataset_id: str, key: CandidatesKey, version: str
) -> CandidatePool:
    """Return the stored candidates of a model for a dataset, outside ignore areas.

    version: changes when candidates are added.
    """
    areas = services.store().ignore_areas_mark(Scope(owner_id, dataset_id, ""))
    return _candidates(owner_id, dataset_id, key, version, areas)


# Of 100,000 images it takes 200 MB.
@st.cache_resource(max_entries=2, show_spinner=False)
def _candidates(
    owner_id: str, dataset_id: str, key: CandidatesKey, version: str, areas: str
) -> CandidatePool:
    scope, store = Scope(owner_id, dataset_id, ""), services.store()
    pool = CandidatePool.joined(
        CandidatePool.of({image_id: unpack(blob) for image_id, blob in packed})
        for packed in store.each_candidates(scope, key)
    )
    return pool.outside(store.ignored_shapes(scope, pool.image_ids) if areas else {})


def candidates_of(
    owner_id: str,
    dataset_id: str,
    key: CandidatesKey,
    version: str,
    image_ids: tuple[str, ...],
) -> CandidatePool:
    """Return the stored candidates of some images, as `candidates` does of all.

    It is one pool for the same images: thresholds that move find it as they left it.
    """
    areas = services.store().ignore_areas_mark(Scope(owner_id, dataset_id, ""))
    return _candidates_of(owner_id, dataset_id, key, version, areas, image_ids)


@lru_cache(maxsize=2)
def _candidates_of(
    owner_id: str,
    dataset_id: str,
    key: CandidatesKey,
    version: str,
    areas: str,
    image_ids: tuple[str, ...],
) -> CandidatePool:
    return _candidates(owner_id, dataset_id, key, version, areas).only(image_ids)


def point_candidates(owner_id: str, dataset_id: str, image_id: str) -> PointCandidates:
    """Return what the assist models and the model in use see on a whole image.

    Labels are the dataset's names. Boxes in ignore areas, and those of labels that a
    person leaves out, are not there.

    Raises:
        ModelLoadError: a bundled model cannot be used.
        ImageFileError, ImageReadError, LimitError: the image cannot be read.
    """
    scope, store = Scope(owner_id, dataset_id, ""), services.store()
    size = store.record(scope, image_id).size
    parts = []
    for detector in point_detectors(scope):
        found = _seen_by(detector, scope, image_id)
        labels = _names(detector, scope)
        parts.append(PointCandidates.of(found, labels, view_side=max(size)))
    return _wanted(PointCandidates.joined(parts), scope, image_id)


def closer_candidates(
    owner_id: str, dataset_id: str, image_id: str, point: tuple[float, float]
) -> PointCandidates:
    """Return what the last assist model sees in closer views around a point.

    point: in pixels of the upright image. The rest is as in `point_candidates`.
    """
    scope = Scope(owner_id, dataset_id, "")
    detector = configured_detector(ModelConfig((ASSIST_MODELS[-1],)), owner_id=owner_id)
    image = picture_for_views(owner_id, dataset_id, image_id)
    found = closer_views(image, point, detector, labels=_names(detector, scope))
    return _wanted(found, scope, image_id)


def views_of_box(
    owner_id: str, dataset_id: str, image_id: str, box: Box
) -> list[PointCandidates]:
    """Return what each assist model sees in a box and its surroundings.

    box: in pixels of the upright image. The rest is as in `point_candidates`.
    """
    scope = Scope(owner_id, dataset_id, "")
    image = picture_for_views(owner_id, dataset_id, image_id)
    detectors = [
        configured_detector(ModelConfig((name,)), owner_id=owner_id)
        for name in ASSIST_MODELS
    ]
    names = [_names(detector, scope) for detector in detectors]
    views = label_views(image, box, detectors, labels=names)
    return [_wanted(view, scope, image_id) for view in views]


def picture_for_views(owner_id: str, dataset_id: str, image_id: str) -> LoadedImage:
    """Return an image with as many pixels as the closest view of it needs."""
    net = configured_detector(ModelConfig((ASSIST_MODELS[-1],))).wanted
    return _picture_for_views(owner_id, dataset_id, image_id, net)


@st.cache_resource(max_entries=3, show_spinner=False)
def _picture_for_views(
    owner_id: str, dataset_id: str, image_id: str, net: Size
) -> LoadedImage:
    scope, store = Scope(owner_id, dataset_id, ""), services.store()
    size = store.record(scope, image_id).size
    share = min(max(net) * NARROWEST_VIEW / max(size), 1)
    return load_image(
        store.image_bytes(scope, image_id),
        file_name=image_id,
        max_pixels=services.limits().max_image_pixels,
        wanted=Size(math.ceil(size.width * share), math.ceil(size.height * share)),
    )


def _names(detector: Detector, scope: Scope) -> list[str]:
    names = names_in_dataset(services.store(), scope, detector)
    return [names.get(label, label) for label in detector.labels]


def _wanted(
    candidates: PointCandidates, scope: Scope, image_id: str
) -> PointCandidates:
    """Leave out boxes in ignore areas, and of labels that a person leaves out."""
    is_kept = candidates.label != ""
    ignored = services.store().ignored_shapes(scope, [image_id]).get(image_id)
    if ignored:
        is_kept &= ~is_inside(candidates.xyxy, ignored.shapes, ignored.size)
    return candidates.rows(is_kept)


def assist_labels() -> tuple[str, ...]:
    """Return the labels of the assist models, each once."""
    every = (find_model(name).labels for name in ASSIST_MODELS)
    return tuple(dict.fromkeys(chain.from_iterable(every)))


def assist_labels_here(scope: Scope) -> frozenset[str]:
    """Return the labels of the assist models as a dataset names them."""
    detectors = [
        configured_detector(ModelConfig((name,)), owner_id=scope.owner_id)
        for name in ASSIST_MODELS
    ]
    every = (_names(detector, scope) for detector in detectors)
    return frozenset(chain.from_iterable(every))


def point_detectors(scope: Scope) -> list[Detector]:
    """Return the assist models, and the model that a dataset's last run used.

    Raises:
        ModelLoadError: a bundled model cannot be used.
    """
    owner_id = scope.owner_id
    bundled = [
        configured_detector(ModelConfig((name,)), owner_id=owner_id)
        for name in ASSIST_MODELS
    ]
    own = None
    with contextlib.suppress(ImageBaseError, KeyError):
        job = _last_run(scope)
        own = job and configured_detector(
            ModelConfig.of(job.parameters), owner_id=owner_id
        )
    known = {candidates_key(detector) for detector in bundled}
    return [*bundled, own] if own and candidates_key(own) not in known else bundled


def _last_run(scope: Scope) -> JobInfo | None:
    kinds = ("annotate", "keep", "teach")
    jobs = [services.store().latest_job(scope, kind) for kind in kinds]
    return max(filter(None, jobs), key=lambda job: job.created_at, default=None)


def _seen_by(detector: Detector, scope: Scope, image_id: str) -> Candidates:
    """Return the stored candidates of an image, or run the model.

    A model that takes several passes is not run, so that nobody waits for it.
    """
    key = candidates_key(detector)
    stored = services.store().candidates(scope, key, [image_id]).get(image_id)
    if stored is not None:
        return unpack(stored)
    if detector.passes != ONE_PASS or detector.voters:
        return Candidates.empty()
    return _run(scope.owner_id, scope.dataset_id, image_id, key, detector)


@st.cache_resource(max_entries=96, show_spinner=False)
def _run(
    owner_id: str,
    dataset_id: str,
    image_id: str,
    key: CandidatesKey,
    _detector: Detector,
) -> Candidates:
    image = load_image(
        services.store().image_bytes(Scope(owner_id, dataset_id, ""), image_id),
        file_name=image_id,
        max_pixels=services.limits().max_image_pixels,
        wanted=_detector.wanted,
    )
    return _detector.candidates(image.rgb, size=image.size)


@st.cache_resource(max_entries=4, show_spinner=False)
def health_tables(
    owner_id: str, dataset_id: str, version: str
) -> tuple[ImageTable, BoxTable]:
    """Return all images and boxes of a dataset as column tables.

    version: changes with the dataset.
    """
    return services.store().health_tables(Scope(owner_id, dataset_id, ""))
