"""The language half of one replicate: minds that read and write, their captions and mail.

What a text mind knows is a value; all of it, with the mailboxes, is ``state``, which a
checkpoint stores. Every question goes through the desk.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from society.build import Simulation
from society.desk import Desk
from society.hosted import Hosted, HostSide
from society.journal import Journal
from society.journal_rows import StoredEvent, StoredMessage
from society.mailbox import Mailboxes
from society.plan import Place
from society.population import Group
from society.surveys import Respondent
from society.telling import RulesBook, SeatBook, rows_of, same_values
from society.text_births import TextLives
from worlds.captions import Caption
from worlds.policy import TextPolicy
from worlds.records import maker
from worlds.types import Birth, Observation, Reply, Seat, Turn

__all__ = ["Moment", "Speakers"]

MOST_NAMED = 20
_turn = maker(Turn)


@dataclasses.dataclass
class Moment:
    """What speakers are shown of the device: who holds which slot, and what they see."""

    world: Any
    uid: np.ndarray
    alive: np.ndarray
    graph: Any
    observation: Observation | None = None


class Speakers:
    """Text minds of one replicate, by slot."""

    def __init__(
        self, simulation: Simulation, replicate: int, desk: Desk, journal: Journal
    ) -> None:
        """Start with nobody born; ``restore`` or ``found`` fills the seats."""
        self._simulation = simulation
        self._replicate = replicate
        self._desk = desk
        self._journal = journal
        self._minds: dict[int, Any] = {}
        self.lives = TextLives()
        self._captions: dict[str, tuple[Any, Caption]] = {}
        self._book, self._seats = RulesBook(), SeatBook(simulation.population)
        self._vocabulary = {
            name: channel.vocabulary
            for name, channel in simulation.mail_channels.items()
            if hasattr(channel, "vocabulary")
        }
        self.turns = 0
        self.left_out: Counter[str] = Counter()
        self._streams = {
            group.name: streams
            for group in simulation.population.text_groups
            if isinstance(group.policy, TextPolicy)
            and (streams := group.policy.streams(group.size)) is not None
        }
        population = simulation.population
        world = simulation.world
        self.host = HostSide(world, population) if isinstance(world, Hosted) else None
        spoken = any(channel.to == "nearby" for channel in simulation.mail_channels.values())
        self._near = self.host.near if self.host is not None and spoken else None
        self._text_slots = frozenset(
            slot for group in population.text_groups for slot in range(group.start, group.stop)
        )
        self.mail = Mailboxes(
            simulation.mail_channels,
            population.num_slots,
            readers=self._text_slots,
            seed=simulation.seeds[replicate],
        )

    def shown(self, observation: Observation) -> Observation:
        """An observation from the device, with the texts of a world on the host."""
        return observation if self.host is None else self.host.shown(observation)

    # ---- checkpoint -------------------------------------------------------------------

    @property
    def state(self) -> dict[str, Any]:
        """Everything that is not on the device, as plain values."""
        minds = {str(slot): mind for slot, mind in sorted(self._minds.items())}
        return {
            "minds": minds,
            "mail": self.mail.state,
            "turns": self.turns,
            "left_out": dict(sorted(self.left_out.items())),
            "streams": {name: streams.state for name, streams in self._streams.items()},
            **({} if self.host is None else {"world": self.host.state}),
            **({"lives": self.lives.state} if self._simulation.world.births else {}),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` once was."""
        self._minds = {int(slot): mind for slot, mind in state["minds"].items()}
        self.mail.restore(state["mail"])
        self.turns = int(state["turns"])
        self.left_out = Counter(state["left_out"])
        for name, held in state["streams"].items():
            self._streams[name].restore(held)
        if self.host is not None:
            self.host.state = state["world"]
        if "lives" in state:
            self.lives.restore(state["lives"])

    # ---- births -----------------------------------------------------------------------

    async def found(self, moment: Moment) -> None:
        """Give every text agent of the first generation its mind."""
        framing = self._simulation.framing
        births = [
            (
                slot,
                Birth(
                    self._given_seat(slot, moment),
                    rules=self._rules(slot, moment),
                    framing=framing(self._group(slot)),
                ),
            )
            for slot in self._slots(moment)
        ]
        await self._bear(births, Place())

    async def succeed(
        self,
        generation: int,
        moment: Moment,
        pairs: Sequence[tuple[int, tuple[int, ...]]],
        uids_before: np.ndarray,
    ) -> None:
        """Let newcomers be born to the pairs (slot, parents' slots) that selection chose.

        Args:
          generation: the one that begins.
          moment: after selection.
          pairs: the slots of text groups that changed hands (or minds).
          uids_before: [N] uids before selection, the parents' names.
        """
        taken = {slot for slot, _ in pairs}
        selection = self._simulation.parts.selection
        imitates = selection is not None and selection.imitates
        alive = {slot: mind for slot, mind in self._minds.items() if moment.alive[slot]}
        legacies = {slot: self._policy(slot).legacy(mind) for slot, mind in self._minds.items()}
        remain = {slot for slot in alive if imitates or slot not in taken}
        births = []
        for slot, parents in pairs:
            told = sorted((remain | set(parents)) & legacies.keys())
            texts = self._simulation.parts.transmission.texts(
                {slot: legacies[slot] for slot in told}, parents
            )
            birth = Birth(
                seat=self._given_seat(slot, moment),
                generation=generation,
                parents=tuple(int(uids_before[parent]) for parent in parents),
                texts=texts,
                rules=self._rules(slot, moment),
                framing=self._simulation.framing(self._group(slot)),
            )
            births.append((slot, birth))
        self._minds = {slot: mind for slot, mind in alive.items() if slot not in taken}
        self.mail.clear(sorted(taken))
        await self._bear(births, Place(generation))

    async def live(self, moment: Moment, place: Place) -> None:
        """Bury and bear language agents who died and were born inside steps."""
        if not self.lives.waiting:
            return
        legacies = {slot: self._policy(slot).legacy(mind) for slot, mind in self._minds.items()}
        gone, born = self.lives.settle(legacies)
        self._minds = {slot: mind for slot, mind in self._minds.items() if slot not in gone}
        self.mail.clear(gone)
        births = [
            (
                slot,
                Birth(
                    seat=self._given_seat(slot, moment),
                    generation=place.generation,
                    parents=parents,
                    texts=texts,
                    rules=self._rules(slot, moment),
                    framing=self._simulation.framing(self._group(slot)),
                ),
            )
            for slot, parents, texts in born
            if moment.alive[slot]
        ]
        await self._bear(births, place)

    async def _bear(self, births: Sequence[tuple[int, Birth]], place: Place) -> None:
        work = [
            self._policy(slot).birth(self._ask(place, birth.seat.uid, slot), birth)
            for slot, birth in births
        ]
        minds = await self._desk.minds(work)
        rows = []
        for (slot, birth), mind in zip(births, minds, strict=True):
            self._minds[slot] = mind
            self.lives.uids[slot] = birth.seat.uid
            data = {
                "slot": slot,
                "name": birth.seat.name,
                "parents": list(birth.parents),
                "text": self._policy(slot).legacy(mind),
            }
            rows.append(self._event(place, "birth", birth.seat.uid, data))
            if isinstance(mind, Mapping) and mind.get("strategy_fallback"):
                self.turns += 1
                data = {"part": "birth"}
                rows.append(self._event(place, "fallback", birth.seat.uid, data, ordinal=1))
        self._journal.add_events(rows)

    # ---- turns ------------------------------------------------------------------------

    def due(self, moment: Moment, step: int) -> list[int]:
        """Slots of text agents that are asked at this step."""
        assert moment.observation is not None
        acting = moment.observation.acting
        return [
            slot
            for group in self._simulation.population.text_groups
            if step % group.every == 0
            for slot in range(group.start, group.stop)
            if acting[slot] and slot in self._minds
        ]

    async def act(
        self, slots: Sequence[int], moment: Moment, place: Place, *, talking: bool = False
    ) -> dict[int, Any]:
        """Let agents take a turn; returns the actions by slot (none in a talk turn)."""
        assert moment.observation is not None
        seen = rows_of(moment.observation.view) if self.host is None else None
        noop = rows_of(moment.world.noop()) if self.host is None else None
        if talking:  # whoever has nobody to speak to is not asked
            slots = [slot for slot in slots if self._writable(slot, place, talking)]
        turns = [self._turn(slot, moment, place, talking, seen, noop) for slot in slots]
        work = [
            self._policy(slot).act(self._ask(place, turn.seat.uid, slot), self._minds[slot], turn)
            for slot, turn in zip(slots, turns, strict=True)
        ]
        answers = await self._desk.minds(work)
        actions: dict[int, Any] = {}
        self.turns += 0 if talking else len(slots)
        for slot, turn, (reply, mind) in zip(slots, turns, answers, strict=True):
            self._minds[slot] = mind
            self._post(slot, turn, reply, moment, place)
            for name, count in reply.notes.items():
                if name.endswith("_left_out"):
                    self.left_out[name] += count
            if not talking:
                actions[slot] = reply.action
                self._note(turn, reply, place)
        return actions

    # ---- aside --------------------------------------------------------------------------

    def respondent(self, slot: int, moment: Moment, *, seen: bool) -> Respondent | None:
        """The language agent in a slot, for questions that it will not remember."""
        if slot not in self._minds:
            return None
        row = None
        if seen and moment.observation is not None and self.host is None:
            row = jax.tree.map(lambda leaf: leaf[slot], moment.observation.view)
        elif seen and moment.observation is not None and moment.observation.text is not None:
            assert self.host is not None
            row = self.host.row(moment.observation, slot)
        caption, seat = self._caption(slot, moment), self._given_seat(slot, moment)
        return Respondent(self._policy(slot), self._minds[slot], seat, caption, row)

    def ask_for(self, slot: int, moment: Moment, place: Place) -> Any:
        """How the agent in a slot asks its model."""
        return self._ask(place, int(moment.uid[slot]), slot)

    def hear(self, outbox: Mapping[str, np.ndarray], moment: Moment, place: Place) -> None:
        """Bring the words that array policies said last to the language agents who hear them."""
        for name in self.mail.channels:
            if name in outbox:
                talking = np.flatnonzero(np.asarray(outbox[name]) >= 0).tolist()
                arrays = [slot for slot in talking if slot not in self._text_slots]
                self.mail.hear(
                    name,
                    outbox[name],
                    speakers=arrays,
                    place=place,
                    uids=moment.uid,
                    alive=moment.alive,
                    graph=moment.graph,
                    names=lambda slot: self._seat(slot, moment).name,
                )

    def said(self, pending: Mapping[str, Any]) -> Mapping[str, Any]:
        """The device's pending words with what language agents have just said."""
        words = self.mail.take_words()
        changed = dict(pending)
        for name, by_slot in words.items():
            if name in changed and by_slot:
                rows = np.array(changed[name])
                rows[list(by_slot)] = list(by_slot.values())
                changed[name] = rows
        return changed

    def _turn(
        self,
        slot: int,
        moment: Moment,
        place: Place,
        talking: bool,
        seen: Callable[[int], Any] | None,
        noops: Callable[[int], Any] | None,
    ) -> Turn:
        """What an agent learns when it is its turn; ``seen`` and ``noops`` give a slot's rows."""
        caption = self._caption(slot, moment)
        seat = self._seat(slot, moment)
        if seen is not None and noops is not None:
            row, noop = seen(slot), noops(slot)
        else:
            assert self.host is not None and moment.observation is not None
            row, noop = self.host.row(moment.observation, slot), self.host.noop(slot)
        talk = self._writable(slot, place, talking)
        spaced = caption.framing.spaced
        return _turn(
            seat=self._given_seat(slot, moment),
            rules=self._rules(slot, moment),
            text=spaced(caption.words(row, seat)),
            question=spaced(caption.question(row, seat)),
            options=caption.options(row, seat),
            parse=_parser(caption, row, seat),
            fallback=noop,
            answer_hint=spaced(caption.answer_hint(row, seat)),
            inbox=self.mail.collect(slot, place=place, graph=moment.graph),
            talk=talk,
            vocabulary=self._vocabulary,
            hearers=self._hearers(slot, moment, talk) if talk else {},
            addressed=tuple(name for name in talk if self.mail.channels[name].to == "addressed"),
            others=caption.others(row, seat),
            schema=caption.schema(row, seat),
            acting=not talking,
            first=place.step == 0,
            generation=place.generation,
            episode=place.episode,
            step=place.step,
            turn=place.turn,
        )

    def _writable(self, slot: int, place: Place, talking: bool) -> tuple[str, ...]:
        """Channels that an agent may write to now."""
        alone = self._near is not None and not self._near(slot)
        return self.mail.writable(talking=talking, turn=place.turn, alone=alone)

    def _hearers(self, slot: int, moment: Moment, talk: Sequence[str]) -> dict[str, dict[str, int]]:
        """Whom an agent can speak to alone: on addressed channels, and along given ties."""
        found = {}
        for name in talk:
            channel = self.mail.channels[name]
            ties = channel.graph if channel.graph is not None else moment.graph
            along = channel.to == "neighbours" and ties is not None and not ties.complete
            if name in self._vocabulary or not (along or channel.to == "addressed"):
                continue
            near = self.mail.within_reach(name, slot, alive=moment.alive, graph=moment.graph)
            seats = [self._seat(other, moment) for other in near[:MOST_NAMED]]
            found[name] = {seat.name: seat.uid for seat in reversed(seats)}
            found[name] = dict(reversed(found[name].items()))
        return found

    def _post(self, slot: int, turn: Turn, reply: Reply, moment: Moment, place: Place) -> None:
        rows = []
        for ordinal, draft in enumerate(reply.messages):
            sent = self.mail.post(
                slot,
                turn.seat,
                draft,
                place=place,
                uids=moment.uid,
                alive=moment.alive,
                graph=moment.graph,
                nearby=self._near,
            )
            rows.append(
                StoredMessage(
                    self._replicate,
                    *place.clock,
                    draft.channel,
                    turn.seat.uid,
                    ordinal,
                    tuple(sent.recipients),
                    sent.text,
                )
            )
        self._journal.add_messages(rows)

    def _note(self, turn: Turn, reply: Reply, place: Place) -> None:
        if reply.fallback:
            data = {"action": np.asarray(reply.action).tolist(), **dict(reply.notes)}
            self._journal.add_events([self._event(place, "fallback", turn.seat.uid, data)])
        if reply.events:
            uid = turn.seat.uid
            events = [self._event(place, kind, uid, data) for kind, data in reply.events.items()]
            self._journal.add_events(events)

    # ---- small things -----------------------------------------------------------------

    def _event(self, place: Place, kind: str, uid: int, data: Any, ordinal: int = 0) -> StoredEvent:
        return StoredEvent(self._replicate, *place.clock, kind, uid, ordinal, data)

    def _slots(self, moment: Moment) -> list[int]:
        return [
            slot
            for group in self._simulation.population.text_groups
            for slot in range(group.start, group.stop)
            if moment.alive[slot]
        ]

    def _group(self, slot: int) -> Group:
        return self._simulation.population.group_of(slot)

    def _policy(self, slot: int) -> TextPolicy:
        policy = self._group(slot).policy
        assert isinstance(policy, TextPolicy)
        return policy

    def _ask(self, place: Place, uid: int, slot: int) -> Any:
        group = self._group(slot)
        backend = getattr(group.policy, "backend", None)
        name = backend or self._simulation.default_backend
        streams = self._streams.get(group.name)
        memory = None if streams is None else (streams, slot - group.start)
        return self._desk.asker((self._replicate, *place.clock), uid, name, memory)

    def _seat(self, slot: int, moment: Moment) -> Seat:
        return self._seats.seat(slot, int(moment.uid[slot]))

    def _given_seat(self, slot: int, moment: Moment) -> Seat:
        return self._seats.given(slot, int(moment.uid[slot]))

    def _rules(self, slot: int, moment: Moment) -> str:
        caption, seat = self._caption(slot, moment), self._seat(slot, moment)
        if self.host is None:
            return self._book.rules(caption, seat, moment.uid)
        return caption.framing.spaced(caption.rules(seat))

    def _caption(self, slot: int, moment: Moment) -> Caption:
        group = self._group(slot)
        held = self._captions.get(group.name)
        if held is None or held[0] is not moment.world:
            caption = held[1] if held is not None and self._as_told(held[0], moment) else None
            if caption is None:
                caption = self._simulation.caption(moment.world, group)
                caption.names = _Names(self, moment)
            self._captions[group.name] = held = (moment.world, caption)
        held[1].names.moment = moment
        return held[1]

    def _as_told(self, world: Any, moment: Moment) -> bool:
        """True where a caption of an earlier world holds for the present one."""
        return self.host is None and same_values(world, moment.world)


class _Names:
    """Names of whoever holds a slot now, for captions."""

    def __init__(self, speakers: Speakers, moment: Moment) -> None:
        self.speakers, self.moment = speakers, moment

    def __call__(self, slot: int) -> str:
        return self.speakers._seat(int(slot), self.moment).name


def _parser(caption: Caption, row: Any, seat: Seat) -> Callable[[str], Any]:
    return partial(_parse, caption, row, seat)


def _parse(caption: Caption, row: Any, seat: Seat, text: str) -> Any:
    return caption.action(text, row, seat)
