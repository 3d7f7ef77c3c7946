"""Bounded text mailboxes on the host: who hears what, in which order, and how much of it.

All that mailboxes know is one plain value, ``state``, which a checkpoint stores. The
speaker of a message is whoever the engine says is speaking, never what a text claims.
"""

import copy
import dataclasses
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from society.board import read_board, write_board
from society.channels import Channel, Forum, Words
from society.plan import Place
from worlds.types import Draft, Graph, Message, Seat

__all__ = ["COUNTS", "Mailboxes", "Sent"]

COUNTS = ("sent", "delivered", "dropped", "truncated", "refused")
ANNOUNCEMENTS = "announcement"
INBOX = 20


class Sent(NamedTuple):
    """What became of a draft.

    text: as delivered, cut to the channel's length. recipients: uids. slots: of the
    recipients. refused: why nobody got it, or empty.
    """

    text: str
    recipients: tuple[int, ...] = ()
    slots: tuple[int, ...] = ()
    refused: str = ""


class Mailboxes:
    """The texts of one replicate that wait for their readers.

    A channel's ``inbox`` bounds what waits for one reader; the oldest is dropped and
    counted, as are texts that were cut or had no way to go.
    """

    def __init__(
        self,
        channels: Mapping[str, Channel],
        num_slots: int,
        *,
        readers: Collection[int] | None = None,
        seed: int = 0,
    ) -> None:
        """Start empty.

        Args:
          channels: name -> the channels that language agents use.
          num_slots: N.
          readers: slots of language agents; None = all. Nothing is put by for others.
          seed: of the replicate; decides who speaks for whom where ``mode: shuffled``.
        """
        self.channels = dict(channels)
        self.num_slots = num_slots
        self._readers = None if readers is None else frozenset(readers)
        self._seed = seed
        self._outgoing: tuple[Graph, np.ndarray, np.ndarray] | None = None
        self._state = _empty(self.channels)

    # ---- checkpoint ---------------------------------------------------------------------

    @property
    def state(self) -> dict[str, Any]:
        """Everything that waits, as plain dicts, lists, texts and numbers (a copy)."""
        return copy.deepcopy(self._state)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` once was."""
        self._state = _empty(self.channels) | copy.deepcopy(dict(state))

    @property
    def counts(self) -> dict[str, int]:
        """Texts sent, delivered (once a reader), dropped, truncated, refused."""
        return dict(self._state["counts"])

    # ---- reading ------------------------------------------------------------------------

    def collect(
        self,
        slot: int,
        *,
        place: Place | None = None,
        graph: Graph | Literal["unknown"] | None = "unknown",
    ) -> tuple[Message, ...]:
        """Take out everything that waits for a slot, oldest first; then what its forums show.

        Args:
          slot: the reader.
          place, graph: now, and the world's graph (None = everybody); only forums need them.
        """
        waiting = self._state["boxes"].pop(str(slot), [])
        found = [_message(item) for item in waiting]
        for name, channel in self.channels.items():
            if isinstance(channel, Forum) and channel.mode != "silent":
                if place is None or graph == "unknown":
                    raise TypeError(f"forum {name!r}: collect() needs place and graph")
                around = None
                if channel.to != "everyone":
                    around = self._known_to(slot, self._ties(channel, graph))
                board = self._state["boards"][name]
                found += [
                    _message(post) for post in read_board(board, channel, slot, around, place)
                ]
        return tuple(found)

    def writable(
        self, *, talking: bool = False, turn: int = 0, alone: bool = False
    ) -> tuple[str, ...]:
        """Channels that may be written to now: those of talk, or those of the act.

        Whoever is ``alone`` in its place has nobody to speak to nearby.
        """
        return tuple(
            name
            for name, channel in self.channels.items()
            if (channel.when == "before_action") == talking
            and (not talking or turn < channel.rounds)
            and not (alone and channel.to == "nearby")
        )

    def within_reach(
        self, name: str, slot: int, *, alive: np.ndarray, graph: Graph | None
    ) -> list[int]:
        """Living slots whom a speaker could name on a channel, whatever the channel's mode."""
        channel = self.channels[name]
        if channel.to in ("everyone", "addressed"):
            slots = np.arange(self.num_slots)
        elif channel.to == "neighbours":
            slots = self._heard_by(slot, self._ties(channel, graph))
        else:
            return []
        return slots[(slots != slot) & np.asarray(alive)[slots]].tolist()

    # ---- writing ------------------------------------------------------------------------

    def post(
        self,
        slot: int,
        seat: Seat,
        draft: Draft,
        *,
        place: Place,
        uids: np.ndarray,
        alive: np.ndarray,
        graph: Graph | None,
        nearby: Callable[[int], Sequence[int]] | None = None,
    ) -> Sent:
        """Send a draft along its channel.

        Args:
          slot, seat: who speaks; the engine knows, the text has no say in it.
          draft: ``to`` narrows the channel's own recipients, by uid.
          place: now.
          uids, alive: [N].
          graph: the world's, for channels without their own; None = everybody.
          nearby: slot -> slots near it, for ``to: nearby``.
        """
        channel = self.channels.get(draft.channel)
        if channel is None:
            names = ", ".join(self.channels) or "none"
            return self._refuse(draft.text, f"no channel {draft.channel!r}; channels: {names}")
        text, refused = self._fit(channel, slot, draft)
        if refused:
            return self._refuse(draft.text, refused)
        self._state["names"][str(seat.uid)] = seat.name
        voice = slot
        if channel.mode == "shuffled":
            voice = self._voice(draft.channel, slot, np.asarray(alive), place)
        slots = self._recipients(channel, voice, slot, draft, uids, alive, graph, nearby)
        self._state["counts"]["sent"] += 1
        uid = int(uids[voice]) if voice != slot else seat.uid
        message = Message(
            draft.channel,
            uid,
            self._state["names"].get(str(uid), f"Agent {uid}"),
            text,
            *dataclasses.astuple(place),
            mode="raw" if channel.mode == "raw" else "marked",
        )
        if isinstance(channel, Forum):
            write_board(self._state["boards"][draft.channel], channel, voice, message)
        else:
            for reader in slots:
                self._put(reader, message, channel.inbox)
        return Sent(text, tuple(int(uids[reader]) for reader in slots), tuple(slots))

    def announce(
        self,
        text: str,
        slots: Sequence[int],
        sender: str = "Announcement",
        channel: str | None = None,
        place: Place | None = None,
    ) -> None:
        """Put a text by the experimenter into the boxes of some slots; its speaker is -1."""
        name = channel or next(iter(self.channels), ANNOUNCEMENTS)
        if channel and channel not in self.channels:
            raise ValueError(
                f"no channel {channel!r}; channels are {', '.join(self.channels) or 'none'}"
            )
        now = Place() if place is None else place
        message = Message(name, -1, sender, text, *dataclasses.astuple(now), mode="raw")
        limit = self.channels[name].inbox if name in self.channels else INBOX
        for slot in slots:
            self._put(int(slot), message, limit)

    def hear(
        self,
        channel_name: str,
        said: np.ndarray,
        *,
        speakers: Collection[int],
        place: Place,
        uids: np.ndarray,
        alive: np.ndarray,
        graph: Graph | None,
        names: Callable[[int], str] | None = None,
    ) -> None:
        """Bring words that array policies said to the language agents who hear them.

        Args:
          channel_name: a ``words`` channel.
          said: [N] int, the device's outbox, -1 = nothing.
          speakers: slots of array policies.
          place, uids, alive, graph: as in ``post``.
          names: slot -> name.
        """
        channel = self.channels[channel_name]
        assert isinstance(channel, Words)
        for slot in sorted(speakers):
            word = int(said[slot])
            if word < 0 or not alive[slot]:
                continue
            uid = int(uids[slot])
            seat = Seat(slot, uid=uid, name=names(slot) if names else f"Agent {uid}")
            draft = Draft(channel_name, channel.vocabulary[word])
            self.post(slot, seat, draft, place=place, uids=uids, alive=alive, graph=graph)

    def take_words(self) -> dict[str, dict[int, int]]:
        """Words that language agents said since the last call: channel -> slot -> index.

        They belong into the device's outbox, where array policies hear them.
        """
        words = {
            name: {int(slot): index for slot, index in said.items()}
            for name, said in self._state["words"].items()
        }
        self._state["words"] = {name: {} for name in words}
        return words

    def clear(self, slots: Sequence[int]) -> None:
        """Throw away what waits for slots whose individual is gone."""
        for slot in slots:
            self._state["boxes"].pop(str(int(slot)), None)
            for said in self._state["words"].values():
                said.pop(str(int(slot)), None)

    # ---- parts --------------------------------------------------------------------------

    def _fit(self, channel: Channel, slot: int, draft: Draft) -> tuple[str, str]:
        """The text cut to the channel's length, or a reason why it cannot be sent."""
        if isinstance(channel, Words):
            index = channel.index(draft.text)
            if index is None:
                return "", f"the words of {draft.channel!r} are {', '.join(channel.vocabulary)}"
            self._state["words"][draft.channel][str(slot)] = index
            return channel.vocabulary[index], ""
        if not draft.text.strip():
            return "", "the text is empty"
        longest: int = getattr(channel, "max_chars", len(draft.text))
        if len(draft.text) > longest:
            self._state["counts"]["truncated"] += 1
        return draft.text[:longest], ""

    def _refuse(self, text: str, reason: str) -> Sent:
        self._state["counts"]["refused"] += 1
        return Sent(text, refused=reason)

    def _put(self, slot: int, message: Message, limit: int) -> None:
        if self._readers is not None and slot not in self._readers:
            return
        counts = self._state["counts"]
        box = self._state["boxes"].setdefault(str(slot), [])
        box.append({key: getattr(message, key) for key in _MESSAGE})
        counts["delivered"] += 1
        same = [place for place, item in enumerate(box) if item["channel"] == message.channel]
        if len(same) > limit:
            del box[same[0]]
            counts["dropped"] += 1

    def _recipients(
        self,
        channel: Channel,
        voice: int,
        speaker: int,
        draft: Draft,
        uids: np.ndarray,
        alive: np.ndarray,
        graph: Graph | None,
        nearby: Callable[[int], Sequence[int]] | None,
    ) -> list[int]:
        """Living slots, in order, that hear what is said with a slot's voice."""
        if channel.mode == "silent" or (channel.to == "addressed" and draft.to is None):
            return []
        if channel.to == "nearby":
            if nearby is None:
                raise ValueError("to: nearby needs a world with places; use to: neighbours")
            slots = np.asarray(sorted(nearby(voice)), np.int64)
        elif channel.to in ("everyone", "addressed"):
            slots = np.arange(self.num_slots)
        else:
            slots = self._heard_by(voice, self._ties(channel, graph))
        slots = slots[(slots != voice) & (slots != speaker) & np.asarray(alive)[slots]]
        if draft.to is not None:
            slots = slots[np.isin(np.asarray(uids)[slots], draft.to)]
        return [int(slot) for slot in slots]

    def _ties(self, channel: Channel, graph: Graph | None) -> Graph | None:
        return channel.graph if isinstance(channel.graph, Graph) else graph

    def _heard_by(self, slot: int, graph: Graph | None) -> np.ndarray:
        """Slots that have this one as an in-neighbour."""
        if graph is None or graph.complete:
            return np.arange(self.num_slots)
        if not graph.directed:
            return self._known_to(slot, graph)
        if self._outgoing is None or self._outgoing[0] is not graph:
            num_rows = int(graph.offsets[-1])
            senders = np.asarray(graph.senders)[:num_rows]
            order = np.argsort(senders, kind="stable")
            ends = np.searchsorted(senders[order], np.arange(self.num_slots + 1))
            self._outgoing = (graph, ends, np.asarray(graph.receivers)[:num_rows][order])
        _, ends, receivers = self._outgoing
        return receivers[ends[slot] : ends[slot + 1]]

    def _known_to(self, slot: int, graph: Graph | None) -> np.ndarray:
        """In-neighbours of a slot."""
        if graph is None or graph.complete:
            return np.arange(self.num_slots)
        offsets = np.asarray(graph.offsets)
        return np.asarray(graph.senders)[offsets[slot] : offsets[slot + 1]]

    def _voice(self, name: str, slot: int, alive: np.ndarray, place: Place) -> int:
        """The living slot in whose name a shuffled channel delivers, for this turn."""
        words = [self._seed, zlib.crc32(name.encode()), *dataclasses.astuple(place)]
        living = np.flatnonzero(alive)
        if not alive[slot]:
            return slot
        shuffled = np.random.default_rng(words).permutation(living)
        return int(shuffled[np.searchsorted(living, slot)])


_MESSAGE = tuple(field.name for field in dataclasses.fields(Message))


def _message(item: Mapping[str, Any]) -> Message:
    return Message(**{key: item[key] for key in _MESSAGE})


def _empty(channels: Mapping[str, Channel]) -> dict[str, Any]:
    return {
        "boxes": {},
        "boards": {
            name: {"posts": [], "next": 1}
            for name, channel in channels.items()
            if isinstance(channel, Forum)
        },
        "words": {name: {} for name, channel in channels.items() if isinstance(channel, Words)},
        "names": {},
        "counts": dict.fromkeys(COUNTS, 0),
    }
