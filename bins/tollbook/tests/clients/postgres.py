"""psycopg 3 and asyncpg through the gate: what each of them does that others do not."""

import asyncio
import json
import os
import threading
import time

import asyncpg
import psycopg

HOST, PORT, TOKEN = os.environ["HOST"], int(os.environ["PORT"]), os.environ["TOKEN"]
KEY = os.environ["SECRET"]
TARGET = dict(host=HOST, port=PORT, user="ann", dbname="postgres", password=TOKEN, sslmode="disable")
KEPT = "***-**-9999"


def connect(**more):
    return psycopg.connect(**{**TARGET, **more})


def describe_once_execute_many():
    """B7.3: described once, executed ten times, masked each time, as text and in binary."""
    for binary in (False, True):
        with connect(autocommit=True) as client, client.cursor(binary=binary) as cursor:
            for round in range(10):
                cursor.execute(
                    "SELECT id, ssn AS harmless, note, born, doc FROM users WHERE id = %s",
                    (1,),
                    prepare=True,
                )
                row = cursor.fetchone()
                assert row[0] == 1 and row[1] == KEPT, (binary, round, row)
                assert KEY not in row[2] and "REDACTED" in row[2], (binary, round, row)
                assert str(row[3]) == "1980-01-02", row
                assert KEY not in json.dumps(row[4]), row
            # A protected number has no other form: it is null.
            assert cursor.execute("SELECT pin FROM users WHERE id = 1").fetchone() == (None,)
            # What has no origin any more, and what only counts.
            row = cursor.execute("SELECT 'x' || ssn, id FROM users WHERE id = 1").fetchone()
            assert "219-09" not in str(row[0]) and row[1] == 1, row
            assert cursor.execute("SELECT count(*) FROM users").fetchone() == (3,)
            # Through a view and a cursor of SQL.
            assert "219-09" not in str(cursor.execute("SELECT * FROM people").fetchall())
            with client.transaction():
                cursor.execute("DECLARE c CURSOR FOR SELECT upper(ssn) FROM users")
                assert "219-09" not in str(cursor.execute("FETCH ALL FROM c").fetchall())


def copy_out():
    """B7.4: what is copied out is masked, or refused with a way out."""
    with connect(autocommit=True) as client:
        for options in ("", "(FORMAT csv)", "(FORMAT csv, HEADER, DELIMITER ';')", "(FORMAT binary)"):
            statement = f"COPY users (id, ssn, note) TO STDOUT {options}"
            with client.cursor().copy(statement) as copy:
                data = b"".join(bytes(piece) for piece in copy)
            assert b"219-09-9999" not in data and KEY.encode() not in data, (options, data)
            assert b"REDACTED" in data, (options, data)
        with client.cursor().copy("COPY users (id, note) TO STDOUT") as copy:
            rows = list(copy.rows())
        assert [row[0] for row in rows] == ["1", "2", "3"], rows
        try:
            with client.cursor().copy("COPY users TO STDOUT") as copy:
                list(copy)
            raise AssertionError("copied all columns")
        except psycopg.errors.InsufficientPrivilege as error:
            assert "name the columns" in str(error), error
        with client.cursor().copy("COPY spare (id) FROM STDIN") as copy:
            for number in range(1000):
                copy.write_row((number,))
        assert client.execute("SELECT count(*) FROM spare").fetchone() == (1000,)


def denied_in_the_middle():
    """B7.5: a denied statement is to the driver what a failed one is."""

    def states(statement):
        seen = []
        with connect() as client:
            try:
                client.execute("SELECT 1")
                client.execute(statement)
            except psycopg.Error as error:
                seen.append(type(error).__name__)
            seen.append(client.info.transaction_status.name)
            try:
                client.execute("SELECT 2")
            except psycopg.Error as error:
                seen.append(type(error).__name__)
            client.rollback()
            seen.append(client.execute("SELECT 3").fetchone())
        with connect(autocommit=True) as client:
            try:
                with client.pipeline() as pipeline:
                    first = client.execute("SELECT 1")
                    second = client.execute(statement)
                    third = client.execute("SELECT 3")
                    pipeline.sync()
                    seen.append(first.fetchone())
                    seen.append(second.fetchone())
            except psycopg.Error as error:
                seen.append(type(error).__name__)
            seen.append(client.info.transaction_status.name)
            seen.append(client.execute("SELECT 4").fetchone())
        return seen

    denied, failed = states("DELETE FROM users"), states("SELECT 1/0")
    assert denied[0] == "InsufficientPrivilege" and failed[0] == "DivisionByZero", (denied, failed)
    same = lambda seen: [one for one in seen if one not in ("InsufficientPrivilege", "DivisionByZero")]
    assert same(denied) == same(failed) and len(denied) == len(failed), (denied, failed)
    with connect(autocommit=True) as client:
        assert client.execute("SELECT count(*) FROM users").fetchone() == (3,)
        try:
            client.execute("DELETE FROM users")
        except psycopg.Error as error:
            assert error.sqlstate == "42501" and "all rows" in str(error), error


def cancel():
    with connect(autocommit=True) as client:
        threading.Timer(1, client.cancel).start()
        begun = time.monotonic()
        try:
            client.execute("SELECT pg_sleep(60)")
            raise AssertionError("it slept")
        except psycopg.errors.QueryCanceled:
            assert time.monotonic() - begun < 30
        assert client.execute("SELECT 1").fetchone() == (1,)


def errors_and_notifications():
    with connect(autocommit=True) as client:
        try:
            client.execute("INSERT INTO users (id, ssn) VALUES (9, '219-09-9999')")
            raise AssertionError("twice")
        except psycopg.errors.UniqueViolation as error:
            assert "219-09" not in str(error) and "219-09" not in str(error.diag.message_detail), error
        try:
            client.execute("SELECT ssn::int FROM users")
            raise AssertionError("a number")
        except psycopg.errors.InvalidTextRepresentation as error:
            assert "219-09" not in str(error), error
        client.execute("LISTEN jobs")
        client.execute("SELECT pg_notify('jobs', %s)", (f"use {KEY}",))
        told = next(client.notifies(timeout=10, stop_after=1))
        assert KEY not in told.payload and "REDACTED" in told.payload, told
        plan = client.execute(f"EXPLAIN SELECT * FROM users WHERE note = '{KEY}'").fetchall()
        assert KEY not in str(plan), plan


async def with_asyncpg():
    client = await asyncpg.connect(
        host=HOST, port=PORT, user="ann", database="postgres", password=TOKEN, ssl=False
    )
    statement = await client.prepare("SELECT id, ssn, note, tags FROM users WHERE id = $1")
    for _ in range(10):
        row = await statement.fetchrow(1)
        assert row["ssn"] == KEPT and KEY not in row["note"], row
        assert row["tags"][0] == "a" and KEY not in row["tags"][1], row
    async with client.transaction():
        rows = [row["id"] async for row in client.cursor("SELECT id FROM users ORDER BY id", prefetch=1)]
    assert rows == [1, 2, 3], rows
    try:
        await client.execute("DELETE FROM users")
        raise AssertionError("deleted")
    except asyncpg.InsufficientPrivilegeError as error:
        assert "all rows" in str(error), error
    assert await client.fetchval("SELECT 5") == 5
    await client.close()


for case in (
    describe_once_execute_many,
    copy_out,
    denied_in_the_middle,
    cancel,
    errors_and_notifications,
):
    case()
    print(case.__name__, flush=True)
asyncio.run(with_asyncpg())
print("with_asyncpg", flush=True)
