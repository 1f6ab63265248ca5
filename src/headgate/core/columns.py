"""Small things about Arrow columns. Pure."""

from __future__ import annotations

import pyarrow as pa


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one array, without a copy where it is one chunk.

    Args:
        column: any type.

    Returns:
        An array of the same type and length; dictionaries are unified.
    """
    if isinstance(column, pa.Array):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    array = column.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


def encode(column: pa.ChunkedArray | pa.Array) -> pa.DictionaryArray:
    """A text column as codes into its distinct values; null has a code of its own.

    Args:
        column: string, date32 or a dictionary of these.

    Returns:
        A dictionary array.
    """
    array = one_array(column)
    return array if pa.types.is_dictionary(array.type) else array.dictionary_encode(null_encoding="encode")
