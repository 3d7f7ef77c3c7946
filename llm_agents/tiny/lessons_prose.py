"""Lessons without a game: stories retold and mixed, small talk, invitations, plans, surveys.

The worlds that ask for them are told by prompts of several kinds, so each task is put in
several ways.
"""

import random
from collections.abc import Callable

from llm_agents.backends.base import ChatMessage
from llm_agents.prompting import Prompts
from llm_agents.tiny.lessons import NAMES, Lesson
from worlds.messages import render_messages
from worlds.types import Message

__all__ = ["prose_lessons", "story"]

BEINGS = "fox bear owl cat girl boy king fisher baker witch giant mouse robot sailor".split()
QUALITIES = "old young clever brave lonely hungry quiet proud tiny golden strange happy".split()
PLACES = "forest village castle river mountain island harbour garden desert market".split()
THINGS = "key lamp ring map drum stone mirror boat song book coin feather".split()
ACTS = (
    "found a {thing} near the {place}",
    "lost a {thing} in the {place}",
    "gave a {thing} to a {being}",
    "met a {quality} {being} in the {place}",
    "hid a {thing} under the {place}",
    "heard a {being} sing by the {place}",
    "built a {thing} for the {being}",
)
ENDINGS = (
    "In the end they all went home.",
    "Since then nobody has seen the {thing}.",
    "And the {being} was never alone again.",
    "So the {place} became a {quality} place.",
    "The {being} laughed and shared the {thing}.",
)
MOODS = ("neutral", "positive", "negative", "creative", "very creative", "careful")
JOBS = {
    "baker": ("bake bread", "sell bread at the bakery"),
    "teacher": ("prepare lessons", "teach at the school"),
    "painter": ("mix colours", "paint in the studio"),
    "student": ("read a chapter", "study at the library"),
    "barista": ("open the cafe", "serve coffee at the cafe"),
    "gardener": ("water the plants", "work in the garden"),
}
EVENTS = ("a party", "a dinner", "a concert", "a market", "a football game", "a lecture")
VENUES = ("Hobbs Cafe", "the library", "the park", "the town hall", "the school", "the Rose Bar")
DAYS = ("Monday", "Friday", "Sunday", "February 14", "May 1", "October 20")
TRIVIAL = ("brushed my teeth", "made the bed", "walked to the shop", "drank some coffee",
           "cleaned the table", "waited for the bus")  # fmt: skip
NOTABLE = ("had a long talk with {name}", "read about a new idea", "helped {name} move",
           "was invited to {event}", "planned {event}")  # fmt: skip
GRAVE = ("broke up with {name}", "was accepted at college", "lost my job", "married {name}",
         "saw {name} for the first time in years", "had a car accident")  # fmt: skip
GREETINGS = ("Hello {name}, how are you?", "Good morning {name}!", "Hi {name}, nice to see you.")


def prose_lessons(rng: random.Random) -> list[Lesson]:
    """A handful of lessons of every kind."""
    makers: tuple[Callable[[random.Random], Lesson], ...] = (
        _retell, _retell, _retell, _mix, _mix, _small_talk, _invite, _plan,
        _importance, _party_survey, _source_survey, _opinion,
    )  # fmt: skip
    return [maker(rng) for maker in makers]


def _ask(
    task: str,
    rng: random.Random,
    user: str,
    answer: str,
    *,
    persona: str = "",
    rules: str = "",
    options: tuple[str, ...] | None = None,
) -> Lesson:
    persona = persona or f"You are {_name(rng)}, one of several participants."
    system = Prompts.shipped().render("system", persona=persona, rules=rules)
    messages = (ChatMessage("system", system), ChatMessage("user", user))
    if options:
        end = f"\nOptions: {', '.join(options)}\nReply with one of the options and nothing else."
        messages = (messages[0], ChatMessage("user", user + end))
    return Lesson(task, messages, answer, options)


def _name(rng: random.Random) -> str:
    return rng.choice(NAMES) if rng.random() < 0.6 else f"Agent {rng.randrange(100)}"


def story(rng: random.Random, sentences: int = 3) -> list[str]:
    """A short story in sentences."""
    words = _words(rng)
    hero = f"{words['quality']} {words['being']}"
    begin = rng.choice(("Once a {hero} {act}.", "There was a {hero} who {act}.", "A {hero} {act}."))
    told = [begin.format(hero=hero, act=_act(rng))]
    more = [f"Then the {words['being']} {_act(rng)}." for _ in range(sentences - 2)]
    return [*told, *more, rng.choice(ENDINGS).format(**words)]


def _words(rng: random.Random) -> dict[str, str]:
    return {
        "being": rng.choice(BEINGS),
        "quality": rng.choice(QUALITIES),
        "place": rng.choice(PLACES),
        "thing": rng.choice(THINGS),
    }


def _act(rng: random.Random) -> str:
    return rng.choice(ACTS).format(**_words(rng))


def _storyteller(rng: random.Random) -> str:
    mood = rng.choice(MOODS)
    return rng.choice((f"You are a {mood} storyteller.", f"You are {_name(rng)}, a {mood} teller."))


def _retell(rng: random.Random) -> Lesson:
    told = " ".join(story(rng, rng.choice((2, 3, 4))))
    shown = told if rng.random() < 0.4 else _heard(rng, told)
    ask = rng.choice(
        (
            f"Here is a story:\n{shown}\n\nRetell it in your own words.",
            f"Messages you received:\n{shown}\n\nRetell the story to the next listener.",
            f"You read this story:\n\n{shown}\n\nWrite it down from memory. Reply with the story.",
        )
    )
    return _ask("prose/retell", rng, ask, told, persona=_storyteller(rng))


def _mix(rng: random.Random) -> Lesson:
    stories = [story(rng, 3) for _ in range(rng.choice((2, 3, 4)))]
    first, second = rng.sample(range(len(stories)), 2)
    texts = [" ".join(sentences) for sentences in stories]
    shown = [_heard(rng, text) if rng.random() < 0.5 else text for text in texts]
    listed = "\n\n".join(f"Story {number + 1}:\n{text}" for number, text in enumerate(shown))
    ask = rng.choice(
        (
            f"{listed}\n\nChoose the two stories that you like best and combine them into one.",
            f"{listed}\n\nMix two of these stories into a new one.",
            f"Messages you received:\n{listed}\n\nCombine your two favourites into one new story.",
        )
    )
    mixed = " ".join([*stories[first][:2], stories[second][-1]])
    return _ask("prose/mix", rng, ask, mixed, persona=_storyteller(rng))


def _heard(rng: random.Random, text: str, speaker: str = "") -> str:
    number = rng.randrange(50)
    speaker = speaker or _name(rng)
    message = Message("talk", number, speaker, text, step=rng.randrange(20))
    return render_messages([message])


def _small_talk(rng: random.Random) -> Lesson:
    me, other = rng.sample(NAMES, 2)
    said = rng.choice(GREETINGS).format(name=me)
    job = rng.choice(list(JOBS))
    user = (
        f"Messages you received:\n{_heard(rng, said, other)}\n\n"
        "You may now say something to the others on channel talk.\n"
        'Reply with your message in one or two sentences, or with a single "-" to say nothing.'
    )
    answer = f"Hello {other}, I am well. Today I {JOBS[job][1]}."
    return _ask("prose/talk", rng, user, answer, persona=f"You are {me}, a {job}.")


def _event(rng: random.Random) -> tuple[str, str, str, str]:
    hours = f"{rng.randrange(1, 6)} to {rng.randrange(6, 10)} pm"
    return rng.choice(EVENTS), rng.choice(VENUES), rng.choice(DAYS), hours


def _invitation(rng: random.Random, event: tuple[str, str, str, str], host: str = "I am") -> str:
    what, where, day, hours = event
    giving = rng.choice(("giving", "planning")) if host == "I am" else "giving"
    return f"{host} {giving} {what} at {where} on {day}, {hours}."


def _invite(rng: random.Random) -> Lesson:
    me, host = rng.sample(NAMES, 2)
    event = _event(rng)
    if rng.random() < 0.5:
        known = f"You are giving {event[0]} at {event[1]} on {event[2]}, {event[3]}."
        answer = f"I am giving {event[0]} at {event[1]} on {event[2]}, {event[3]}. Please come!"
    else:
        known = f"Messages you received:\n{_heard(rng, _invitation(rng, event), host)}"
        answer = f"{host} is giving {event[0]} at {event[1]} on {event[2]}, {event[3]}."
    user = (
        f"{known}\n\nYou may now say something to the others on channel talk.\n"
        'Reply with your message in one or two sentences, or with a single "-" to say nothing.'
    )
    return _ask("prose/invite", rng, user, answer, persona=f"You are {me}.")


def _plan(rng: random.Random) -> Lesson:
    me = rng.choice(NAMES)
    job = rng.choice(list(JOBS))
    early, work = JOBS[job]
    hour = rng.randrange(6, 9)
    ask = rng.choice(
        (
            "Write your plan for today, one line for each part of the day.",
            "What is your plan for today? Write one line for each hour that matters.",
            "Today is {day}. Make a plan for the day, one line each.",
        )
    ).format(day=rng.choice(DAYS))
    lines = [f"{hour:02}:00 get up and have breakfast", f"{hour + 1:02}:00 {early}",
             f"{hour + 2:02}:00 {work}", "12:00 have lunch", "18:00 have dinner with friends",
             "22:00 go to bed"]  # fmt: skip
    if rng.random() < 0.5:
        event = _event(rng)
        ask = f"You remember: {_invitation(rng, event, f'{rng.choice(NAMES)} is')}\n{ask}"
        lines[4] = f"17:00 go to {event[0]} at {event[1]}"
    persona = f"You are {me}, a {job}. You get up at {hour}."
    return _ask("prose/plan", rng, ask, "\n".join(lines), persona=persona)


def _importance(rng: random.Random) -> Lesson:
    pool, low, high = rng.choice(((TRIVIAL, 1, 2), (NOTABLE, 4, 6), (GRAVE, 8, 10)))
    happened = rng.choice(pool).format(name=rng.choice(NAMES), event=rng.choice(EVENTS))
    memory = f"I {happened}" + rng.choice((".", " today.", " yesterday."))
    ask = rng.choice(
        (
            "On a scale from 1 (everyday) to 10 (changes a life), how important is this memory?",
            "How important is this memory, from 1 (trivial) to 10 (very important)?",
            "Rate the importance of the following memory from 1 to 10.",
        )
    )
    rating = str(rng.randint(low, high))
    if rng.random() < 0.5:
        scale = tuple(map(str, range(1, 11)))
        return _ask("prose/importance", rng, f"{ask}\n{memory}", rating, options=scale)
    return _ask("prose/importance", rng, f"{ask}\n{memory}\nReply with a number.", rating)


def _party_survey(rng: random.Random) -> Lesson:
    event, other = _event(rng), _event(rng)
    heard = rng.random() < 0.6
    known = ["Good morning! How are you?" if rng.random() < 0.5 else "The weather is fine today."]
    if heard:
        known.append(_invitation(rng, event))
    rng.shuffle(known)
    asked = event if heard and rng.random() < 0.7 else other
    knows = heard and asked[0] == event[0] and asked[2] == event[2]
    shown = "\n".join(_heard(rng, text) for text in known)
    options = rng.choice((("yes", "no"), ("yes", "no", "unsure")))
    nothing = "unsure" if len(options) > 2 and not heard else "no"
    ask = f"Messages you received:\n{shown}\n\nIs there {asked[0]} on {asked[2]}?"
    return _ask("survey/yes_no", rng, ask, "yes" if knows else nothing, options=options)


def _source_survey(rng: random.Random) -> Lesson:
    event = _event(rng)
    host, other = rng.sample(NAMES, 2)
    told = [
        _heard(rng, _invitation(rng, event), host),
        _heard(rng, rng.choice(GREETINGS).format(name="you"), other),
    ]
    rng.shuffle(told)
    shown = "\n".join(told)
    ask = rng.choice((f"Who told you about {event[0]}?", f"Who is giving {event[0]}?"))
    return _ask("survey/who", rng, f"Messages you received:\n{shown}\n\n{ask}", host)


def _opinion(rng: random.Random) -> Lesson:
    topic = rng.choice(("the vaccine", "the new road", "the tax", "the school", "the dam"))
    stance, answer = rng.choice(
        (("You are in favour of {t}.", "yes"), ("You are against {t}.", "no"))
    )
    ask = rng.choice((f"Do you support {topic}?", f"Are you in favour of {topic}?"))
    persona = f"You are {_name(rng)}. " + stance.format(t=topic)
    return _ask("survey/opinion", rng, ask, answer, persona=persona, options=("yes", "no"))
