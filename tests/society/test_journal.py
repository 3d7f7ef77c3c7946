"""The journal keeps every row once and notices when a row comes out otherwise."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from society.canonical import canonical, fingerprint, storable
from society.journal import (
    CallKey,
    Divergence,
    Journal,
    JournalError,
    LlmCounts,
    StoredCall,
    StoredEvent,
    StoredMessage,
    StoredMetrics,
)
from society.journal_rows import TABLES


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


def call(step=0, uid=0, text="hello", **changes):
    request = canonical({"content": text})
    fields = {
        "key": CallKey(0, 1, 0, step, 2, uid, "act", 0),
        "request_hash": fingerprint(request),
        "request": request,
        "response": canonical({"text": f"reply to {text}"}),
        "status": "ok",
        "backend": "mock",
        "model": "m",
        "prompt_tokens": 11,
        "completion_tokens": 3,
        "cost_usd": 0.0015,
        "faults": 1,
        "latency_s": 0.25,
        "attempts": 2,
        "cached": False,
        "at": 1.0,
    }
    return StoredCall(**{**fields, **changes})


def message(text="hi", ordinal=0):
    return StoredMessage(0, 1, 0, 3, 1, "talk", 4, ordinal, (1, 2), text)


def event(kind="birth", uid=7, data=None):
    return StoredEvent(0, 1, 0, 3, 1, kind, uid, 0, data or {"parents": [1, 2]})


def test_a_stored_call_comes_back_equal_also_from_another_process(path):
    with Journal.open(path) as journal:
        journal.add_calls([call(uid=u) for u in range(5)])
        assert journal.call(call(uid=3).key) is None, "not stored before flush"
        journal.flush()
        assert journal.call(call(uid=3).key) == call(uid=3)
    with Journal.open(path) as journal:
        assert journal.call(call(uid=4).key) == call(uid=4)
        assert journal.call(call(uid=5).key) is None
    script = (
        "import sys; from society.journal import *\n"
        "j = Journal.open(sys.argv[1]); print(j.call(CallKey(0,1,0,0,2,4,'act',0)).response)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == call(uid=4).response


def test_calls_of_many_generations_and_replicates_are_found_in_any_order(path):
    rows = [
        call()._replace(key=CallKey(replicate, generation, 0, 0, 0, uid, "act", 0))
        for replicate in range(2)
        for generation in range(3)
        for uid in range(4)
    ]
    with Journal.open(path) as journal:
        for row in rows:
            assert journal.call(row.key) is None
        journal.add_calls(rows)
        journal.flush()
        for row in [*rows[::-1], *rows]:
            assert journal.call(row.key) == row


def test_rows_that_nobody_flushed_are_flushed_on_close(path):
    with Journal.open(path) as journal:
        journal.add_calls([call()])
    with Journal.open(path) as journal:
        assert journal.counts().calls == 1


def test_rows_that_were_not_flushed_are_dropped_when_the_run_fails(path):
    with pytest.raises(KeyError), Journal.open(path) as journal:
        journal.add_calls([call()])
        raise KeyError("the run failed")
    with Journal.open(path) as journal:
        assert journal.counts() == LlmCounts()


def test_writing_equal_rows_again_changes_nothing(path):
    with Journal.open(path) as journal:
        for _ in range(3):
            journal.add_calls([call(), call(uid=1)])
            journal.add_messages([message()])
            journal.add_events([event()])
            journal.add_metrics([StoredMetrics(0, 1, 0, 3, b"\0\0\x80?", b"hash1234")])
            journal.flush()
        assert journal.counts().calls == 2
        assert journal.messages(0) == [message()]
        assert journal.events(0) == [event()]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("request_hash", "other"),
        ("request", "other"),
        ("response", "other"),
        ("status", "error"),
        ("backend", "other"),
        ("model", "other"),
        ("prompt_tokens", 12),
        ("completion_tokens", 4),
        ("cost_usd", 0.25),
        ("faults", 2),
    ],
)
def test_every_column_that_decides_a_result_is_compared(path, column, value):
    with Journal.open(path) as journal:
        journal.add_calls([call(step=8, uid=5)])
        journal.flush()
        journal.add_calls([call(step=8, uid=5)._replace(**{column: value}), call(uid=9)])
        with pytest.raises(Divergence, match=f"step 8.*agent 5.*{column} was") as caught:
            journal.flush()
        assert caught.value.column == column
        assert caught.value.computed == value
        assert caught.value.place["step"] == 8
        assert caught.value.place["uid"] == 5
        journal._pending["calls"].clear()
    with Journal.open(path) as journal:
        assert journal.call(call(uid=9).key) is None, "nothing of that batch is stored"


@pytest.mark.parametrize(
    ("column", "value"), [("latency_s", 9.0), ("attempts", 7), ("cached", True), ("at", 5.0)]
)
def test_how_a_call_went_is_never_compared(path, column, value):
    with Journal.open(path) as journal:
        journal.add_calls([call()])
        journal.flush()
        journal.add_calls([call()._replace(**{column: value})])
        journal.flush()
        assert journal.call(call().key) == call(), "the first account stays"


def test_changed_messages_events_and_metrics_are_named(path):
    with Journal.open(path) as journal:
        journal.set_metric_names(["reward", "cooperation"])
        journal.add_messages([message()])
        journal.add_events([event()])
        journal.add_metrics([StoredMetrics(0, 1, 0, 3, np.float32([1, 2]).tobytes(), None)])
        journal.flush()
        for add, row, shown in (
            (journal.add_messages, message(text="ho"), "messages at .*agent 4.*text was 'hi'"),
            (journal.add_events, event(data={"parents": []}), "events at .*agent 7.*data was"),
            (
                journal.add_metrics,
                StoredMetrics(0, 1, 0, 3, np.float32([1, 2.5]).tobytes(), None),
                r"metrics at .*step 3: cooperation was 2\.0 and is 2\.5 now",
            ),
            (
                journal.add_metrics,
                StoredMetrics(0, 1, 0, 3, np.float32([1, 2]).tobytes(), b"state"),
                "state_hash was None",
            ),
        ):
            add([row])
            with pytest.raises(Divergence, match=shown):
                journal.flush()
            for rows in journal._pending.values():
                rows.clear()
        with pytest.raises(Divergence, match="metric_names"):
            journal.set_metric_names(["reward"])


def test_two_different_rows_of_one_batch_with_one_key_diverge(path):
    with Journal.open(path) as journal:
        journal.add_messages([message("one"), message("two")])
        with pytest.raises(Divergence, match="text was 'one' and is 'two' now"):
            journal.flush()
        journal._pending["messages"].clear()


@pytest.mark.parametrize("count", [99, 100, 101, 250])
def test_many_rows_at_once_are_each_stored_or_compared(path, count):
    rows = [call(uid=uid, text=f"text {uid}") for uid in range(count)]
    with Journal.open(path) as journal:
        journal.add_calls(rows[40:60])
        journal.flush()
        journal.add_calls(rows)
        journal.flush()
        assert journal.counts().calls == count
        assert all(journal.call(row.key) == row for row in rows)
    with (
        pytest.raises(Divergence, match=r"agent 50.*request_hash"),
        Journal.open(path) as journal,
    ):
        more = [call(step=1, uid=uid) for uid in range(count)]
        journal.add_calls([*more, call(uid=50, text="another")])
        journal.flush()
    with Journal.open(path, readonly=True) as journal:
        assert journal.counts().calls == count


def test_rows_fit_into_the_fewest_values_that_sqlite_may_take(path):
    """999 before version 3.32, which some systems still have."""
    with Journal.open(path) as journal:
        journal._database.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
        journal.add_calls(call(uid=uid) for uid in range(250))
        journal.flush()
        assert journal.counts().calls == 250


def test_metrics_are_exact_and_in_clock_order(path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 3)).astype(np.float32)
    values[0] = [np.nan, np.inf, -0.0]
    clock = np.array([(g, e, s) for g in range(2) for e in range(4) for s in range(5)], np.int32)
    order = rng.permutation(40)
    hashes = [bytes([row]) * 8 for row in range(40)]
    with Journal.open(path) as journal:
        journal.add_metrics_block(1, clock[order], values[order], [hashes[i] for i in order])
        journal.add_metrics_block(0, clock[:3], values[:3, :0])
        table = journal.metrics(1)
        assert table.values.tobytes() == values.tobytes()
        assert (table.clock == clock).all()
        assert len(journal.metrics(1, before=(1, 0, 0)).values) == 20
        assert journal.metrics(0).values.shape == (3, 0)
        assert journal.metrics(9).values.shape == (0, 0)
        journal.add_metrics_block(1, clock, values, hashes)
        journal.flush()
        values[7, 1] += 1
        journal.add_metrics_block(1, clock, values, hashes)
        with pytest.raises(Divergence, match="step 2: value 1 was"):
            journal.flush()
        journal._pending["metrics"].clear()


def test_counts_are_sums_over_the_journal_however_they_were_added(path):
    expected = LlmCounts(6, 66, 18, 6, 2, 0.009)
    with Journal.open(path) as journal:
        assert journal.counts() == LlmCounts()
        journal.add_calls([call(uid=u) for u in range(4)])
        journal.add_events([event("fallback", uid=1), event("birth")])
        journal.flush()
        journal.add_calls([call(uid=u) for u in range(3, 6)])
        journal.add_events([event("fallback", uid=1), event("fallback", uid=2)])
        journal.flush()
        assert journal.counts() == expected
        journal.add_calls([call(uid=u) for u in range(6)])
        journal.flush()
        assert journal.counts() == expected
    with Journal.open(path) as journal:
        assert journal.counts() == expected


def test_a_replay_may_do_only_what_the_run_did(path):
    with Journal.open(path) as journal:
        journal.add_calls([call()])
        journal.add_messages([message()])
    before = path.read_bytes()
    with Journal.open(path, readonly=True) as journal:
        assert journal.call(call().key) == call()
        journal.add_calls([call()])
        journal.add_messages([message()])
        journal.flush()
        journal.add_messages([message(ordinal=1)])
        with pytest.raises(Divergence, match="journal does not have it"):
            journal.flush()
        for rows in journal._pending.values():
            rows.clear()
        journal.add_calls([call(text="changed")])
        with pytest.raises(Divergence, match="request_hash"):
            journal.flush()
        journal._pending["calls"].clear()
        with pytest.raises(Divergence, match="metric_names"):
            journal.set_metric_names(["new"])
    assert path.read_bytes() == before


def test_a_journal_without_write_permission_can_be_replayed(path):
    with Journal.open(path) as journal:
        journal.add_calls([call()])
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        with Journal.open(path, readonly=True) as journal:
            assert journal.call(call().key) == call()
    finally:
        path.parent.chmod(0o755)


def test_a_file_that_is_no_journal_is_refused(path, tmp_path):
    with pytest.raises(JournalError, match="there is no journal at"):
        Journal.open(path, readonly=True)
    path.write_text("this is not a database, whatever its name says; " * 50)
    for readonly in (False, True):
        with pytest.raises(JournalError, match="not a readable journal"):
            Journal.open(path, readonly=readonly)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE calls (a)")
    database.close()
    with pytest.raises(JournalError, match="not the journal of a run"):
        Journal.open(other)


def test_a_journal_of_another_version_is_refused(path):
    Journal.open(path).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version=99")
    database.close()
    for readonly in (False, True):
        with pytest.raises(JournalError, match=r"schema 99.*reads 1 and 2.*manifest\.json"):
            Journal.open(path, readonly=readonly)


def test_a_journal_whose_making_was_cut_short_is_made_anew(path):
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.close()
    assert path.stat().st_size > 0
    with Journal.open(path) as journal:
        journal.add_calls([call()])
        journal.flush()
        assert journal.counts().calls == 1


def test_a_reader_sees_a_run_grow(path):
    with Journal.open(path) as journal, Journal.open(path, readonly=True) as reader:
        assert reader.messages(0) == []
        journal.add_messages([message()])
        journal.flush()
        assert reader.messages(0) == [message()]


def test_threads_may_add_while_another_flushes(path):
    with Journal.open(path) as journal:

        def work(replicate):
            for step in range(100):
                journal.add_metrics([StoredMetrics(replicate, 0, 0, step, b"\0" * 4)])
                if step % 10 == 0:
                    journal.flush()

        threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [len(journal.metrics(index).values) for index in range(4)] == [100] * 4


@pytest.mark.parametrize(
    ("point", "kept"), [("journal.before_commit:4", 2), ("journal.after_commit:4", 3)]
)
def test_a_kill_at_a_commit_keeps_whole_batches(path, point, kept):
    script = f"""if True:
        import sys
        from society.journal import *
        journal = Journal.open({str(path)!r})
        journal.set_metric_names(["a"])
        for step in range(9):
            journal.add_messages(
                StoredMessage(0, 0, 0, step, 0, "talk", u, 0, (), "x") for u in range(50)
            )
            journal.flush()
    """
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "SOCIETY_KILL_AT": point}, check=False
    )
    assert done.returncode == -9
    with Journal.open(path) as journal:
        assert len(journal.messages(0)) == 50 * kept
        journal.check()


def test_numbers_of_arrays_are_stored_as_pythons_own(path):
    plain = call(step=3, uid=4)
    key = plain.key._replace(step=np.int32(3), uid=np.int64(4))
    with Journal.open(path) as journal:
        journal.add_calls([plain])
        journal.flush()
        journal.add_calls([plain._replace(key=key, cost_usd=np.float64(plain.cost_usd))])
        journal.flush()
        assert journal.call(plain.key) == plain
        journal.check()


texts = st.text(st.characters(), max_size=40)  # surrogates, NUL, right-to-left marks and all


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(texts, min_size=1, max_size=5), data=st.data())
def test_any_text_survives_and_verifies(tmp_path_factory, texts, data):
    path = tmp_path_factory.mktemp("journal") / "j.sqlite"
    payload = data.draw(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        )
    )
    messages = [message(text, ordinal) for ordinal, text in enumerate(texts)]
    answer = call()._replace(response=texts[0], request=canonical(payload))
    with Journal.open(path) as journal:
        for _ in range(2):
            journal.add_messages(messages)
            journal.add_calls([answer])
            journal.add_events([event(data={"payload": payload})])
            journal.flush()
        assert [row.text for row in journal.messages(0)] == [storable(text) for text in texts]
        assert canonical(journal.events(0)[0].data) == canonical({"payload": payload})
        stored = journal.call(answer.key)
        assert stored.request == answer.request
        assert stored.response == storable(texts[0])
        journal.check()


# ---- beginnings that requests share -----------------------------------------------------


def shared(uid, beginning="[1,[rules", **changes):
    return call(uid=uid, **changes)._replace(beginning=beginning)


def test_what_requests_begin_with_is_stored_once_and_put_back(path):
    rows = [shared(uid, f"beginning {uid % 2} é\ud800") for uid in range(40)]
    with Journal.open(path) as journal:
        journal.add_calls(rows[:30])
        journal.flush()
    with Journal.open(path) as journal:
        journal.add_calls(rows)
        journal.flush()
        assert journal._read("SELECT count(*) FROM beginnings") == [(2,)]
        for row in rows:
            stored = journal.call(row.key)
            assert stored.beginning == storable(row.beginning)
            assert stored.request == row.request
        whole = journal._read("SELECT uid, request, status FROM questions ORDER BY uid")
        assert whole == [(row.key.uid, storable(row.beginning) + row.request, "ok") for row in rows]
        journal.check()


def test_a_call_whose_beginning_is_shared_takes_less_than_half_the_room(path, tmp_path):
    rows = [shared(uid, "x" * 1000, text="y" * 200) for uid in range(500)]
    alone = [row._replace(beginning="", request=row.beginning + row.request) for row in rows]
    sizes = []
    for place, calls in ((path, rows), (tmp_path / "alone.sqlite", alone)):
        with Journal.open(place) as journal:
            journal.add_calls(calls)
        sizes.append(place.stat().st_size)
    assert 2 * sizes[0] < sizes[1]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE beginnings SET text = 'other rules'", "a row of beginnings has changed"),
        ("DELETE FROM beginnings", "a request lacks its beginning"),
        ("UPDATE beginnings SET text = CAST(x'ff' AS TEXT)", "is damaged"),
        ("UPDATE calls SET beginning = beginning + 1", "a row of calls has changed"),
        ("UPDATE calls SET beginning = 0", "a row of calls has changed"),
    ],
)
def test_a_damaged_beginning_is_noticed(path, damage, said):
    with Journal.open(path) as journal:
        journal.add_calls([shared(0)])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(damage)
    with Journal.open(path, readonly=True) as journal:
        with pytest.raises(JournalError, match=said):
            journal.call(shared(0).key)
        with pytest.raises(JournalError, match=said):
            journal.check()


def as_version_1(path):
    """Make a journal as version 1 wrote it: requests whole, nothing shared, no view."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        table = TABLES["calls"]._replace(operational=TABLES["calls"].operational[:-1])
        rows = database.execute(f"SELECT {', '.join(table.columns)} FROM calls").fetchall()
        names = database.execute("SELECT position, name FROM metric_names").fetchall()
        for what in ("VIEW questions", "TABLE beginnings", "TABLE calls", "TABLE metric_names"):
            database.execute(f"DROP {what}")
        database.execute("CREATE TABLE metric_names (position INTEGER PRIMARY KEY, name TEXT)")
        database.executemany("INSERT INTO metric_names VALUES (?, ?)", names)
        database.execute(table.create())
        database.executemany(f"INSERT INTO calls VALUES ({', '.join('?' * 23)})", rows)
        database.execute("PRAGMA user_version=1")


def test_a_journal_of_version_1_is_read_as_it_is_and_brought_up_to_date_where_written_to(path):
    old = [call(uid=uid) for uid in range(3)]
    with Journal.open(path) as journal:
        journal.set_metric_names(["trust", "giving"])
        journal.add_calls(old)
        journal.add_events([event()])
    as_version_1(path)
    before = path.read_bytes()
    with Journal.open(path, readonly=True) as journal:
        assert [journal.call(row.key) for row in old] == old
        assert journal._read("SELECT rowid, uid, request FROM questions WHERE rowid > 1") == [
            (2, 1, old[1].request), (3, 2, old[2].request),
        ]  # fmt: skip
        journal.add_calls(old)
        journal.flush()
        journal.check()
        assert journal.counts().calls == 3 and len(journal.events(0)) == 1
        assert journal.metric_names() == ("trust", "giving")
    assert path.read_bytes() == before
    with Journal.open(path) as journal:
        journal.add_calls([*old, shared(3)])
        journal.flush()
        assert [journal.call(row.key) for row in [*old, shared(3)]] == [*old, shared(3)]
        journal.set_metric_names(["trust", "giving"])
        journal.check()
    with Journal.open(path, readonly=True) as journal:
        whole = journal._read("SELECT request FROM questions ORDER BY uid")
        new = shared(3).beginning + shared(3).request
        assert [text for (text,) in whole] == [*[row.request for row in old], new]


def test_a_reader_of_a_journal_of_version_1_goes_on_when_it_is_brought_up_to_date(path):
    with Journal.open(path) as journal:
        journal.set_metric_names(["trust"])
        journal.add_calls([call()])
    as_version_1(path)
    with Journal.open(path, readonly=True) as reader:
        assert reader.call(call().key) == call() and reader.metric_names() == ("trust",)
        with Journal.open(path) as journal:
            journal.add_calls([shared(1)])
        assert reader.metric_names() == ("trust",)
        rows = reader._read("SELECT request FROM questions ORDER BY uid")
        assert rows[1] == (shared(1).beginning + shared(1).request,)
        with Journal.open(path, readonly=True) as another:
            assert another.call(shared(1).key) == shared(1)
        reader.check()


def test_bringing_a_journal_up_to_date_is_all_or_nothing(path, monkeypatch):
    with Journal.open(path) as journal:
        journal.set_metric_names(["trust"])
        journal.add_calls([call()])
    as_version_1(path)
    with monkeypatch.context() as patch:
        patch.setattr("society.journal_file.name_rows", lambda names: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Journal.open(path)
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
    with Journal.open(path) as journal:
        assert journal.call(call().key) == call() and journal.metric_names() == ("trust",)
        journal.check()


def test_beginnings_are_forgotten_and_found_again(path, monkeypatch):
    monkeypatch.setattr("society.journal._MOST_BEGINNINGS", 4)
    rows = [shared(uid, f"beginning {uid % 9}") for uid in range(60)]
    with Journal.open(path) as journal:
        for row in rows:
            journal.add_calls([row])
        journal.flush()
        assert [journal.call(row.key) for row in rows] == rows
        assert len(journal._numbers) < 9 and len(journal._texts) < 9
        journal.check()
