"""The vocabulary of generated events: types, names, payload shapes and the texts that fill them.

A shape is JSON text with slots in angle brackets. The slots stand in the order of SLOTS, so that one tuple of
values fits every shape: a slot that a shape leaves out is filled with `%.0b`, which writes nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from typing import Literal

#: What one event has to offer, in the order in which a shape may use it (all but `event_uuid` are optional).
SLOTS = (
    "event_uuid",
    "created_at",
    "session",
    "user",
    "amount",
    "count",
    "country",
    "text",
    "device",
    "tags",
)

#: How a producer writes `created_at`; all but "seconds" are counted as warnings.
Unit = Literal["seconds", "milliseconds", "text", "iso"]

SHAPES: dict[str, str] = {
    "account": '"account_id":<user>,"visits":<count>,"country":"<country>","locale":"fr-FR","name":<text>,'
    '"consent":{"newsletter":true,"ads":false},"device":<device>',
    "commerce": '"order_id":"<session>","account_id":<user>,"amount":<amount>,"currency":"EUR",'
    '"quantity":<count>,"country":"<country>","note":<text>,"items":<tags>,"coupon":null',
    "lesson": '"user_id":<user>,"progress":{"score":<amount>,"step":<count>,"done":false},'
    '"country":"<country>","title":<text>,"device":<device>,"topics":<tags>',
    "click": '"session":"<session>","user_id":<user>,"position":<count>,"country":"<country>",'
    '"page":{"path":"/catalogue/cours","title":<text>},"device":<device>',
    "media": '"stream":"<session>","user_id":<user>,"watched_seconds":<amount>,"frame":<count>,'
    '"country":"<country>","caption":<text>,"device":<device>,"subtitles":<tags>',
    "message": '"thread":"<session>","sender":{"id":<user>,"country":"<country>"},"body":<text>,'
    '"channels":<tags>,"attachments":[]',
    "system": '"trace":"<session>","cpu_ms":<amount>,"retries":<count>,"detail":<text>,"client":<device>,'
    '"labels":<tags>',
    "subscription": '"subscription":"<session>","account":{"id":<user>,"price":<amount>,"seats":<count>,'
    '"country":"<country>"},"reason":<text>,"plans":<tags>,"trial":true',
}

#: type, shape, names below the type ("" is a name of one part), unit of created_at.
_TYPES = """
page click view:opened,view:closed,scroll:reached
lesson lesson exercise:started,exercise:completed,video:skipped,quiz:answered
search click query:typed,result:clicked
session account web:started,web:ended,app:started
payment commerce order:completed,order:failed,refund:issued
account account profile:updated,email:confirmed,user:created
cart commerce item:added,item:removed,checkout:started
video media player:started,player:paused,player:finished
notification message push:sent,push:opened milliseconds
message message direct:sent,direct:read
exercise lesson attempt:submitted,attempt:graded
course lesson catalogue:viewed,chapter:unlocked
quiz lesson question:answered,result:shown
login account password:succeeded,password:failed,sso:succeeded
product click detail:viewed,gallery:swiped
order commerce parcel:shipped,parcel:delivered,line:changed
subscription subscription plan:renewed,plan:cancelled,plan:upgraded
email message campaign:delivered,campaign:bounced
review message rating:given,comment:posted
recommendation click widget:shown,widget:clicked
comment message thread:posted,thread:liked
profile account avatar:changed,bio:edited
invoice subscription document:issued,document:paid
heartbeat system - milliseconds
error system client:raised,server:raised
experiment system variant:assigned,variant:converted
feed click card:shown,card:hidden
story media slide:viewed,slide:skipped
audio media track:played,track:paused
podcast media episode:downloaded,episode:played
certificate lesson diploma:earned,diploma:shared
badge lesson level:earned
streak lesson day:extended,day:lost
homework lesson sheet:assigned,sheet:returned
classroom lesson pupil:joined,pupil:left
teacher account office:opened,office:closed
parent account report:read
calendar account reminder:set,reminder:dismissed
live media room:joined,room:left
chat message bot:asked,bot:answered
forum message topic:opened,topic:solved
survey message form:sent,form:answered
banner click home:shown,home:clicked
wishlist commerce item:saved
coupon commerce code:applied,code:refused
gift commerce card:bought,card:redeemed
stock system level:changed
warehouse system scan:recorded iso
delivery commerce slot:booked,slot:missed
return commerce parcel:announced,parcel:received
refund commerce amount:approved,amount:paid
fraud subscription check:passed,check:flagged
chargeback subscription case:opened,case:won
wallet commerce balance:loaded,balance:spent
payout subscription transfer:sent,transfer:settled
tax subscription rate:applied
contract subscription version:signed
trial subscription period:started,period:ended
seat subscription licence:assigned,licence:revoked
team account member:invited,member:removed
organisation account domain:verified
permission account role:granted,role:withdrawn
consent account cookie:given,cookie:withdrawn
privacy account export:requested,deletion:requested
support message ticket:opened,ticket:closed
call message phone:started,phone:ended
feedback message nps:given
app system release:installed,release:updated,crash:reported milliseconds
device system model:registered
network system offline:entered,offline:left
sync system queue:flushed text
upload media file:started,file:finished
download media file:started,file:finished
image media picture:resized
translation lesson sentence:proposed,sentence:approved
dictionary lesson word:looked_up
flashcard lesson card:reviewed
speech lesson recording:scored
game lesson round:won,round:lost
tournament lesson match:played
leaderboard lesson rank:changed
friend account request:sent,request:accepted
share click link:copied,link:sent
referral account friend:invited,friend:converted
campaign click advert:shown,advert:clicked
affiliate click partner:credited
map click area:zoomed
location system geofence:entered iso
weather system forecast:fetched
job system batch:started,batch:finished
webhook system call:delivered,call:failed text
api system key:created,quota:exceeded
export system report:built
import system file:loaded
audit system access:logged
security account factor:added,factor:removed
captcha account puzzle:solved
menu click entry:opened
onboarding lesson step:completed,tour:skipped
tutorial lesson hint:shown
""".strip()

COUNTRIES = "FR FR FR FR DE ES GB US BE CH IT CA MA SN BR JP IN"

_SENTENCES = (
    "Très bon cours, merci à toute l'équipe 🎉",
    "La leçon est trop courte, hélas…",
    "Ça marche à merveille",
    "où est la facture ?",
    'Elle a dit "à bientôt" 👋',
    "forêt, cœur, naïveté, Noël",
    "path C:\\temp\\leçons",
    "line one\nline two",
    "Please call me back tomorrow",
    "the screen stays white after the update",
    "👩‍🏫 le cours de maths 📐",
    "日本語の練習",
    "€ 12,50 au lieu de 15 €",
    "nothing to report",
)
_WORDS = "algèbre verbe été premium mobile promo sport musique niveau-2 🎁 b2b web"
_SYSTEMS = (("iOS", "Safari"), ("Android", "Chrome"), ("Windows", "Edge"), ("Linux", "Firefox"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EventName:
    """One event name and how its producer writes it.

    Attributes:
        name: `type:subtype:action`, or one part.
        event_type: the first part.
        unit: how `created_at` is written.
        line: template of the whole event for `%`, with one value for each of SLOTS.
        body: template of what follows the three common fields, `,` first, with the same values.
    """

    name: str
    event_type: str
    unit: Unit
    line: bytes
    body: bytes

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings that every event of this name causes."""
        by_unit = {"seconds": (), "milliseconds": ("created_at_unit_ms",)}
        missing = () if ":" in self.name else ("event_subtype_missing",)
        return (*by_unit.get(self.unit, ("created_at_text",)), *missing)


def _compile(text: str) -> bytes:
    """JSON text with slots → template for `%` with one value for each of SLOTS, in this order."""
    literals = re.split(r"<\w+>", text)
    used = re.findall(r"<(\w+)>", text)
    parts, at = [literals[0]], 0
    for slot, literal in zip(used, literals[1:], strict=True):
        index = SLOTS.index(slot, at)
        parts += ["%.0b"] * (index - at) + ["%b", literal]
        at = index + 1
    return "".join(parts + ["%.0b"] * (len(SLOTS) - at)).encode()


def _event_name(name: str, shape: str, unit: Unit) -> EventName:
    quote = '"' if unit in ("text", "iso") else ""
    head = f'{{"event_uuid":"<event_uuid>","event_name":"{name}","created_at":{quote}<created_at>{quote}'
    body = "," + SHAPES[shape]
    line = head + body + "}"
    if shape in ("system", "media"):  # as written by json.dumps without separators
        line = re.sub(r'(?<=[\w">\]}])([:,])(?=["<\w\[{])', r"\1 ", line)
        line = line.replace(name.replace(":", ": "), name)
    return EventName(name=name, event_type=name.split(":")[0], unit=unit, line=_compile(line), body=_compile(body))


def event_names(types: int) -> list[list[EventName]]:
    """The names of each of the first `types` event types, commonest type first.

    Beyond the vocabulary the types repeat with a number: `page_2`.
    """
    rows = [line.split() for line in _TYPES.splitlines()]
    result = []
    for index in range(types):
        row, again = rows[index % len(rows)], index // len(rows)
        event_type = f"{row[0]}_{again + 1}" if again else row[0]
        unit: Unit = row[3] if len(row) > 3 else "seconds"  # type: ignore[assignment]
        names = [event_type if tail == "-" else f"{event_type}:{tail}" for tail in row[2].split(",")]
        result.append([_event_name(name, row[1], unit) for name in names])
    return result


def _texts(values: list[object]) -> list[bytes]:
    """JSON texts, a third of them escaped to ASCII as many producers do."""
    dumps = partial(json.dumps, separators=(",", ":"))
    return [dumps(value, ensure_ascii=i % 3 == 0).encode() for i, value in enumerate(values)]


def snippets() -> dict[str, list[bytes]]:
    """For each slot that is not built from numbers, the JSON texts to choose from."""
    sentences: list[object] = [f"{s} ({n})" if n % 3 else s for n in range(8) for s in _SENTENCES]
    devices: list[object] = [
        {"os": system, "browser": browser, "width": width}
        for system, browser in _SYSTEMS
        for width in (390, 1280, 1920)
    ]
    words = _WORDS.split()
    tags: list[object] = [words[i : i + n] for i in range(len(words)) for n in range(4)]
    return {
        "count": [b"%d" % n for n in range(1000)],
        "amount": [b"%d.%02d" % divmod(n * 7, 100) for n in range(5000)],
        "country": [c.encode() for c in COUNTRIES.split()],
        "text": _texts(sentences),
        "device": _texts(devices),
        "tags": _texts(tags),
    }
