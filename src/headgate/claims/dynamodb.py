"""The claim store in a DynamoDB table: one item an id, written under a condition that gives back the winner.

One table serves any number of lakes. Its key is `pk` (string): the lake's id (the marker of its generation), or
`<lake id>/<generation>/<32 hexadecimal digits>` (a claim), or `<lake id>/<generation>/shard/<number>`. DynamoDB
spreads items by a hash of the whole key, so that no part of the table is hot. `expires` (seconds since 1970) is to be
the table's TTL attribute; because DynamoDB deletes late (within days), an expired item counts as absent here.

Cost: an event costs one write request unit (an item has about 170 bytes, a unit is 1 KB), also a duplicate: a write
whose condition fails is billed. On demand that is USD 0.625 a million events in us-east-1 (price since 2024-11-01,
https://aws.amazon.com/dynamodb/pricing/on-demand/), and USD 0.25 a month for each GB stored, which holds 3.7 million
ids; deletion by TTL is free. The few reads of the marker a batch cost next to nothing.

Needs dynamodb:DescribeTable, GetItem, PutItem, UpdateItem and DeleteItem on the table. Not for global tables that
are written in two regions: their conditions hold within one region only (multi-region eventual consistency).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from boto3.session import Session
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from headgate.claims.aws import MAX_ATTEMPTS, SdkError, aws_error, client_config, code_of, wall_clock_us
from headgate.claims.shared import Marker, new_generation
from headgate.claims.singly import ARRIVED, SinglyClaimStore, arrived_of, position_of
from headgate.errors import ConfigError, TransientError
from headgate.records import Shard

WORKERS = 32  # requests at once; a request takes 2 to 10 ms, and one core makes about 1,000 a second
SECOND_US = 1_000_000  # µs

Item = Mapping[str, Mapping[str, str | bytes]]  # attribute to {type: value}


class DynamoDbClaimStore(SinglyClaimStore):
    """A ClaimStore in a DynamoDB table, for any number of clients.

    Guarantee: see the port; a claim is durable when it is answered. A claim lasts `ttl_us` from when it was made, or
    from the arrival of its record where that is later.
    """

    def __init__(
        self,
        table: str,
        *,
        lake_id: str,
        ttl_us: int,
        region: str | None = None,
        endpoint_url: str | None = None,
        workers: int = WORKERS,
        max_attempts: int = MAX_ATTEMPTS,
        now_us: Callable[[], int] = wall_clock_us,
    ) -> None:
        """Open the lake's claims in a table, or begin a first generation.

        Args:
            table: its name.
            lake_id: the lake's identity.
            ttl_us: how long a claim is kept, in microseconds: the window and the source's retention together.
            region: AWS region; None for the SDK's own setting.
            endpoint_url: of another server than AWS's.
            workers: requests at once, one connection each.
            max_attempts: of one request, with jittered back-off between them.
            now_us: wall clock in microseconds since 1970 UTC; decides only what is expired.

        Raises:
            ConfigError: the table does not exist or has another key; the message holds the commands that make it.
            TransientError: DynamoDB did not answer or denies access.
        """
        super().__init__(lake_id=lake_id, ttl_us=ttl_us, workers=workers)
        self._table, self._now_us = table, now_us
        self._where = f"dynamodb://{table}"
        try:
            self.client: BaseClient = Session().client(
                "dynamodb",
                region_name=region,
                endpoint_url=endpoint_url,
                config=client_config(workers, max_attempts),
            )
        except SdkError as error:
            raise aws_error(error, self._where) from error
        self._table_made = self._describe()
        self._bind(self._begin(None))

    def _describe(self) -> str:
        """When the table was made: another table of the same name has lost what this one held."""
        try:
            table = self.client.describe_table(TableName=self._table)["Table"]
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                raise ConfigError(f"{self._where} does not exist in {self._region}: {self._commands()}") from error
            raise aws_error(error, self._where) from error
        except SdkError as error:
            raise aws_error(error, self._where) from error
        if table["TableStatus"] in ("CREATING", "DELETING"):
            raise TransientError(f"{self._where} is {table['TableStatus'].lower()}: Headgate tries again")
        types = {part["AttributeName"]: part["AttributeType"] for part in table["AttributeDefinitions"]}
        if [(part["AttributeName"], types[part["AttributeName"]]) for part in table["KeySchema"]] != [("pk", "S")]:
            raise ConfigError(f"{self._where} has another key than pk (string): {self._commands()}")
        return str(table["CreationDateTime"].timestamp())

    @property
    def _region(self) -> str:
        return str(self.client.meta.region_name)

    def _commands(self) -> str:
        """What makes the table."""
        which = f"--region {self._region} --table-name {self._table}"
        return (
            f"make it with `aws dynamodb create-table {which} --billing-mode PAY_PER_REQUEST "
            "--attribute-definitions AttributeName=pk,AttributeType=S --key-schema AttributeName=pk,KeyType=HASH` and "
            f"`aws dynamodb update-time-to-live {which} "
            "--time-to-live-specification Enabled=true,AttributeName=expires`"
        )

    def mark_seen(self, number: int, positions: Mapping[Shard, str | None]) -> None:
        """See the port; for all clients, and never backwards. Raises CommitConflict."""
        held = self._conditional(
            self.client.update_item,
            Key={"pk": {"S": self._lake_id}},
            UpdateExpression="SET seen = :number",
            ConditionExpression="generation = :mine AND seen < :number",
            ExpressionAttributeValues={":number": _number(number), ":mine": {"S": self._generation}},
        )
        if held is not None and held.get("generation") != {"S": self._generation}:
            raise self._lost()

    def statistics(self) -> Mapping[str, float]:
        """`claims` and `disk_bytes` of the whole table, all lakes, as DynamoDB counts them every six hours."""
        try:
            table = self.client.describe_table(TableName=self._table)["Table"]
        except SdkError as error:
            raise aws_error(error, self._where) from error
        return {"claims": float(table["ItemCount"]), "disk_bytes": float(table["TableSizeBytes"])}

    def close(self) -> None:
        """Let go of threads and connections. May be called twice."""
        super().close()
        self.client.close()

    def _look(self) -> Marker | None:
        """See SharedClaimStore."""
        return self._marker(self._get(self._lake_id))

    def _marker(self, item: Item | None) -> Marker | None:
        if item is None or item["made"]["S"] != self._table_made:
            return None  # no generation yet, or the table was restored from a backup
        return Marker(
            generation=str(item["generation"]["S"]),
            created_us=int(item["created"]["N"]),
            seen=int(item["seen"]["N"]),
            now_us=self._now_us(),
        )

    def _begin(self, previous: str | None) -> Marker:
        """See SharedClaimStore."""
        while True:
            held = self._get(self._lake_id)
            marker = self._marker(held)
            if marker is not None and (marker.generation != previous or marker.seen == 0):
                return marker
            begun: Item = {
                "pk": {"S": self._lake_id},
                "generation": {"S": new_generation("dynamodb")},
                "created": _number(self._now_us()),
                "seen": _number(0),
                "made": {"S": self._table_made},
            }
            if held is None:
                self._put(begun, "attribute_not_exists(pk)")
            else:
                self._put(begun, "generation = :held", {":held": held["generation"]})

    def _occupy(self, number: int, text: str) -> str:
        """See SinglyClaimStore."""
        held = self._put({"pk": {"S": self._shard_pk(number)}, "text": {"S": text}}, "attribute_not_exists(pk)")
        return text if held is None else str(held["text"]["S"])

    def _occupant(self, number: int) -> str | None:
        """See SinglyClaimStore."""
        item = self._get(self._shard_pk(number))
        return None if item is None else str(item["text"]["S"])

    def _shard_pk(self, number: int) -> str:
        return f"{self._lake_id}/{self._generation}/shard/{number}"

    def _claim_pk(self, key: bytes) -> str:
        return f"{self._lake_id}/{self._generation}/{key.hex()}"

    def _claim_one(self, key: bytes, owner: bytes, window_us: int) -> bytes:
        """See SinglyClaimStore."""
        return self._enter(key, owner, "arrived < :oldest", {":oldest": _number(arrived_of(owner) - window_us)})

    def _take_over_one(self, key: bytes, owner: bytes, expected: bytes) -> bytes:
        """See SinglyClaimStore."""
        return self._enter(key, owner, "pos = :expected", {":expected": {"B": position_of(expected)}})

    def _load_one(self, key: bytes, owner: bytes) -> None:
        """See SinglyClaimStore."""
        mine: Item = {":pos": {"B": position_of(owner)}, ":arrived": _number(arrived_of(owner))}
        self._enter(key, owner, "(arrived <= :arrived AND pos <> :pos)", mine)

    def _release_one(self, key: bytes, owner: bytes) -> bool:
        """See SinglyClaimStore."""
        held = self._conditional(
            self.client.delete_item,
            Key={"pk": {"S": self._claim_pk(key)}},
            ConditionExpression="pos = :pos",
            ExpressionAttributeValues={":pos": {"B": position_of(owner)}},
        )
        return held is None

    def _enter(self, key: bytes, owner: bytes, condition: str, values: Item) -> bytes:
        """Enter an owner where there is none, where it is expired, or under a condition; the owner afterwards."""
        now_us = self._now_us()
        lasts_until = max(now_us, arrived_of(owner)) + self._ttl_us
        item: Item = {
            "pk": {"S": self._claim_pk(key)},
            "pos": {"B": position_of(owner)},
            "arrived": _number(arrived_of(owner)),
            "print": {"B": owner[ARRIVED.stop :]},
            "expires": _number(-(-lasts_until // SECOND_US)),
        }
        is_free = f"attribute_not_exists(pk) OR expires <= :now OR {condition}"
        held = self._put(item, is_free, {**values, ":now": _number(now_us // SECOND_US)})
        return owner if held is None else _owner(held)

    def _get(self, pk: str) -> Item | None:
        """An item as it stands now (a strongly consistent read)."""
        try:
            answer = self.client.get_item(TableName=self._table, Key={"pk": {"S": pk}}, ConsistentRead=True)
        except SdkError as error:
            raise aws_error(error, self._where) from error
        item: Item | None = answer.get("Item")
        return item

    def _put(self, item: Item, condition: str, values: Item | None = None) -> Item | None:
        """Write an item under a condition; None where it holds, else the item that stands there."""
        wanted = {"ExpressionAttributeValues": values} if values else {}
        return self._conditional(self.client.put_item, Item=item, ConditionExpression=condition, **wanted)

    def _conditional(self, operation: Callable[..., object], **request: object) -> Item | None:
        """None where the condition held, else the item as it stands; empty where there is none."""
        try:
            operation(TableName=self._table, ReturnValuesOnConditionCheckFailure="ALL_OLD", **request)
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise aws_error(error, self._where) from error
            held: Item = error.response.get("Item", {})
            return held
        except SdkError as error:
            raise aws_error(error, self._where) from error
        return None


def _number(value: int) -> dict[str, str | bytes]:
    return {"N": str(value)}


def _owner(item: Item) -> bytes:
    """An item as OWNER."""
    position, fingerprint = item["pos"]["B"], item["print"]["B"]
    assert isinstance(position, bytes)  # noqa: S101  # boto3 gives bytes for B
    assert isinstance(fingerprint, bytes)  # noqa: S101
    return position + int(item["arrived"]["N"]).to_bytes(8, "big", signed=True) + fingerprint
