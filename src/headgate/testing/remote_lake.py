"""A lake on S3 without any of the writing code: one of its files, or all of them copied to a folder. By boto3."""

from __future__ import annotations

from pathlib import Path

from headgate.testing.server_moto import Moto


class RemoteLake:
    """A prefix of a bucket on an emulator."""

    def __init__(self, moto: Moto, uri: str) -> None:
        """Nothing is read yet; `uri` is `s3://bucket/prefix`, and the lake need not exist."""
        self._bucket, _, self._prefix = uri.removeprefix("s3://").partition("/")
        self._client = moto.client("s3")

    def read(self, path: str) -> bytes | None:
        """A file of the lake; None where there is none."""
        try:
            return bytes(self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{path}")["Body"].read())
        except self._client.exceptions.NoSuchKey:
            return None

    def copy(self, folder: Path) -> Path:
        """Copy all files; nobody writes meanwhile. Returns the folder."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{self._prefix}/")
        for page in pages:
            for found in page.get("Contents", []):
                path = folder / found["Key"].removeprefix(f"{self._prefix}/")
                path.parent.mkdir(parents=True, exist_ok=True)
                self._client.download_file(self._bucket, found["Key"], str(path))
        return folder
