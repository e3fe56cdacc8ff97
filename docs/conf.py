"""How Sphinx builds the documentation: ``make docs``. Nothing is fetched from anywhere."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "nexus_xr"
author = "The nexus_xr developers"
version = release = version_of("nexus-xr")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "architecture",
]
exclude_patterns = ["_build", "gallery/GALLERY_HEADER.rst", "*/sg_execution_times.rst", "sg_execution_times.rst"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False
default_role = "autolink"
# Names of other packages, whose documentation isn't fetched to be linked, and types that are not for users to name.
nitpick_ignore_regex = [
    ("py:.*", r"(xarray|xr|numpy|np|pandas|pd|dask|h5py|fsspec|hdf5plugin|starlette|zarr)(\..*)?"),
    ("py:.*", r"(collections|os|typing|pathlib)(\..*)?"),
    ("py:.*", r"(Any|Code|Iterable|Mapping|Sequence|PathLike|NDArray|DTypeLike|dtype|DataArray|Dataset|DataTree|Path)"),
    ("py:.*", r"(Keys|Chunks|Compression|Dims|Roots|Writable|File|VirtualLayout|LazyArray|Indexer)"),
    ("py:.*", r"(Ellipsis|NoneType|BackendEntrypoint)"),
    ("py:.*", r"nexus_xr\.(diagnostics|hdf5|metadata|nexus|opening|server|writing|zarr|fields)\..*"),
]

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "_gallery",
    "filename_pattern": r"plot_",
    "plot_gallery": True,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 600,
    "write_computation_times": False,
    "within_subsection_order": "FileNameSortKey",
    "image_srcset": ["2x"],
    "run_stale_examples": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "nexus_xr"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "nexus_xr"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_prev_next": True,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    # All but the recipes: two programs beside each other need the room.
    "secondary_sidebar_items": {
        pages: ["page-toc"]
        for pages in ("installation", "first_steps", "guide/*", "_gallery/*", "reference/*", "project/*")
    },
}
html_sidebars: dict[str, list[str]] = {"installation": [], "first_steps": []}
project_copyright = "the nexus_xr developers, BSD-3-Clause"
