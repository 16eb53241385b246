"""A room as its clients know it, whatever is killed, stopped or cut: one transcript, one order.

    links.py      the network: each client's way to the room, which can be held, cut and refused
    rooms.py      the four kinds of rooms, and the real clients
    faults.py     what happens to them, by a seeded generator
    driver.py     one run: clients talk, faults happen, all is mended, all end
    evidence.py   the files that a run leaves
    checker.py    judges them: lines and streams. people.py: nicks and private messages

`python -m tests.linearizability --help` runs it without pytest.
"""
