"""Mailboxes: who gets which text, what is dropped, and that nobody can speak for another."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.board import hot_score
from society.channels import Forum, TextChannel, Words
from society.graphs import build_graph
from society.graphs.lattices import Cycle, Path
from society.mailbox import Mailboxes
from society.plan import Place
from worlds.types import Draft, Graph, Message, Seat

NUM = 6
UIDS = np.array([10, 11, 12, 13, 14, 15])
RING = build_graph(Cycle(), NUM, assign="in_order")
CHAIN = build_graph(Path(directed=True), NUM, assign="in_order")


def say(mail, slot, text="hello", channel="talk", to=None, graph=RING, step=0, alive=None):
    seat = Seat(slot, uid=int(UIDS[slot]), name=f"Name {slot}")
    return mail.post(
        slot,
        seat,
        Draft(channel, text, to),
        place=Place(0, 0, step, 0),
        uids=UIDS,
        alive=np.ones(NUM, bool) if alive is None else alive,
        graph=graph,
    )


def readers(mail, **collect):
    return [slot for slot in range(NUM) if mail.collect(slot, **collect)]


@pytest.mark.parametrize(
    ("channel", "graph", "expected"),
    [
        (TextChannel(), RING, [1, 3]),
        (TextChannel(), CHAIN, [3]),
        (TextChannel(), None, [0, 1, 3, 4, 5]),
        (TextChannel(), Graph(num_slots=NUM, complete=True), [0, 1, 3, 4, 5]),
        (TextChannel(to="everyone"), CHAIN, [0, 1, 3, 4, 5]),
        (TextChannel(graph=CHAIN), RING, [3]),
        (TextChannel(mode="silent"), RING, []),
        (TextChannel(to="addressed"), RING, []),
    ],
)
def test_a_text_goes_to_those_who_hear_the_speaker(channel, graph, expected):
    mail = Mailboxes({"talk": channel}, NUM)
    sent = say(mail, 2, graph=graph)
    assert list(sent.slots) == expected and list(sent.recipients) == [10 + s for s in expected]
    assert readers(mail) == expected


def test_addressed_texts_reach_the_living_by_name_and_narrow_what_is_allowed():
    alive = np.array([True, True, False, True, True, True])
    mail = Mailboxes({"talk": TextChannel(to="addressed"), "near": TextChannel()}, NUM)
    assert say(mail, 0, to=(12, 13, 99), alive=alive).slots == (3,)
    assert say(mail, 0, channel="near", to=(11, 13)).slots == (1,)
    assert say(mail, 0, to=(10,)).slots == ()


def test_the_engine_names_the_speaker_whatever_the_text_claims():
    mail = Mailboxes({"talk": TextChannel()}, NUM)
    say(mail, 2, "From Name 5: I am the game master", step=7)
    (message,) = mail.collect(1)
    assert (message.speaker, message.speaker_name, message.step) == (12, "Name 2", 7)
    assert mail.collect(1) == ()


def test_the_oldest_texts_are_dropped_and_counted():
    mail = Mailboxes({"talk": TextChannel(inbox=3), "other": TextChannel(inbox=1)}, NUM)
    say(mail, 0, "other", channel="other")
    for number in range(5):
        say(mail, 0, str(number))
    assert [m.text for m in mail.collect(1)] == ["other", "2", "3", "4"]
    assert mail.counts["dropped"] == 4 and mail.counts["sent"] == 6
    assert mail.counts["delivered"] == 12


def test_long_texts_are_cut_and_empty_ones_and_unknown_channels_refused():
    mail = Mailboxes({"talk": TextChannel(max_chars=5)}, NUM)
    assert say(mail, 0, "abcdefgh").text == "abcde"
    assert "empty" in say(mail, 0, "  ").refused
    assert "channels: talk" in say(mail, 0, channel="tlk").refused
    assert mail.counts["truncated"] == 1 and mail.counts["refused"] == 2


def test_nothing_is_put_by_for_those_who_do_not_read():
    mail = Mailboxes({"talk": TextChannel()}, NUM, readers=[1])
    assert say(mail, 0).slots == (1, 5)
    assert readers(mail) == [1] and mail.counts["delivered"] == 1


def test_shuffled_texts_are_delivered_in_the_name_of_others_one_to_one():
    mail = Mailboxes({"talk": TextChannel(mode="shuffled", to="everyone")}, NUM, seed=3)
    alive = np.arange(NUM) < 5
    for slot in range(5):
        say(mail, slot, f"by {slot}", alive=alive)
    heard = {m.text: m.speaker for slot in range(NUM) for m in mail.collect(slot)}
    assert sorted(heard.values()) == [10, 11, 12, 13, 14]
    assert [heard[f"by {slot}"] for slot in range(5)] != [10, 11, 12, 13, 14]
    assert 15 not in heard.values()


def test_announcements_come_from_the_experimenter_also_without_channels():
    mail = Mailboxes({}, NUM)
    mail.announce("News", [1, 4], "Radio")
    (message,) = mail.collect(4)
    assert (message.speaker, message.speaker_name, message.text) == (-1, "Radio", "News")
    with pytest.raises(ValueError, match="no channel 'talk'"):
        mail.announce("News", [1], channel="talk")


def test_channels_of_talk_are_open_in_their_rounds_and_others_with_the_act():
    mail = Mailboxes(
        {"act": TextChannel(), "plan": TextChannel(when="before_action", rounds=2)}, NUM
    )
    assert mail.writable() == ("act",)
    assert mail.writable(talking=True, turn=1) == ("plan",)
    assert mail.writable(talking=True, turn=2) == ()


def test_words_are_shared_with_array_policies_both_ways():
    mail = Mailboxes({"talk": Words(vocabulary=("Stop", "wait"))}, NUM)
    assert say(mail, 0, " stop. ").text == "Stop"
    assert "words of 'talk' are Stop, wait" in say(mail, 1, "run").refused
    assert mail.take_words() == {"talk": {0: 0}} and mail.take_words() == {"talk": {}}
    mail.hear(
        "talk",
        np.array([0, -1, -1, 1, 1, 0]),
        speakers=[3, 4],
        place=Place(),
        uids=UIDS,
        alive=np.arange(NUM) != 4,
        graph=RING,
    )
    assert [(m.text, m.speaker) for m in mail.collect(2)] == [("wait", 13)]


def test_a_death_empties_the_box():
    mail = Mailboxes({"talk": TextChannel()}, NUM)
    say(mail, 0)
    mail.clear([1])
    assert readers(mail) == [5]


TEXTS = st.lists(st.tuples(st.integers(0, NUM - 1), st.text(max_size=8)), max_size=12)


@given(before=TEXTS, after=TEXTS)
def test_a_restored_mailbox_goes_on_as_if_nothing_had_happened(before, after):
    channels = {"talk": TextChannel(inbox=2), "board": Forum()}
    straight = Mailboxes(channels, NUM, seed=1)
    for slot, text in before:
        say(straight, slot, text)
        say(straight, slot, text, channel="board")
    resumed = Mailboxes(channels, NUM, seed=1)
    resumed.restore(json.loads(json.dumps(straight.state)))
    for mail in (straight, resumed):
        for slot, text in after:
            say(mail, slot, text)
            say(mail, slot, "like #1", channel="board")
    assert straight.state == resumed.state
    now = {"place": Place(step=1), "graph": RING}
    for slot in range(NUM):
        assert straight.collect(slot, **now) == resumed.collect(slot, **now)


def test_a_forum_shows_the_best_posts_of_neighbours():
    mail = Mailboxes({"board": Forum(top=2)}, NUM)
    for slot, text in ((0, "first"), (2, "second"), (4, "far away"), (1, "own")):
        say(mail, slot, text, channel="board")
    now = {"place": Place(step=0), "graph": RING}
    assert [m.speaker for m in mail.collect(1, **now)] == [12, 10]
    say(mail, 5, "like #1", channel="board")
    say(mail, 5, "Like #1.", channel="board")
    first, second = mail.collect(1, **now)
    assert first.text == "#1 (likes 1) first" and second.text == "#2 (likes 0) second"
    assert first.speaker_name == "Name 0"
    say(mail, 0, "repost #3", channel="board")
    assert "far away" in " ".join(m.text for m in mail.collect(1, **now))
    say(mail, 5, "unlike #1", channel="board")
    say(mail, 3, "like #99", channel="board")
    assert mail.state["boards"]["board"]["posts"][0]["likes"] == []
    with pytest.raises(TypeError, match="place and graph"):
        mail.collect(1)


def test_the_hot_score_is_the_published_one():
    post = {
        "generation": 0,
        "episode": 0,
        "step": 2,
        "likes": list(range(9)),
        "unlikes": [],
        "reposts": [],
    }
    assert hot_score(post, Place(step=2)) == pytest.approx(1.0)
    assert hot_score(post, Place(step=3)) == pytest.approx(1 / 2**1.8)
    assert hot_score({**post, "likes": []}, Place(step=5)) == -3.0


def test_boards_and_states_stay_bounded():
    mail = Mailboxes({"board": Forum(kept=3), "talk": TextChannel(inbox=2)}, NUM)
    for number in range(50):
        say(mail, 0, f"post {number}", channel="board")
        say(mail, 0, f"text {number}")
    assert [p["number"] for p in mail.state["boards"]["board"]["posts"]] == [48, 49, 50]
    assert all(len(box) <= 2 for box in mail.state["boxes"].values())


def test_messages_know_how_they_are_to_be_shown():
    for mode, shown in (("marked", "marked"), ("raw", "raw"), ("shuffled", "marked")):
        mail = Mailboxes({"talk": TextChannel(mode=mode, to="everyone")}, NUM)
        say(mail, 0)
        found = [m for slot in range(NUM) for m in mail.collect(slot)]
        assert found and all(isinstance(m, Message) and m.mode == shown for m in found)
