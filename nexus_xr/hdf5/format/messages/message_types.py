"""The numbers of the messages that object headers consist of.

Source: the HDF5 file format specification, section IV.A.2.
"""

from __future__ import annotations

from typing import Final


class MessageType:
    """What a message is about."""

    NIL: Final = 0
    DATASPACE: Final = 1
    LINK_INFO: Final = 2
    DATATYPE: Final = 3
    OLD_FILL_VALUE: Final = 4
    FILL_VALUE: Final = 5
    LINK: Final = 6
    EXTERNAL_FILES: Final = 7
    LAYOUT: Final = 8
    BOGUS: Final = 9
    GROUP_INFO: Final = 10
    FILTER_PIPELINE: Final = 11
    ATTRIBUTE: Final = 12
    COMMENT: Final = 13
    OLD_MODIFICATION_TIME: Final = 14
    SHARED_TABLE: Final = 15
    CONTINUATION: Final = 16
    SYMBOL_TABLE: Final = 17
    MODIFICATION_TIME: Final = 18
    BTREE_K: Final = 19
    DRIVER_INFO: Final = 20
    ATTRIBUTE_INFO: Final = 21
    REFERENCE_COUNT: Final = 22
    FILE_SPACE_INFO: Final = 23
    CACHE_IMAGE: Final = 24


FIRST_UNKNOWN: Final = 25
