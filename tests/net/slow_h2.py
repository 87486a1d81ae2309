"""Clients of HTTP/2 that send or read as slowly as they can: slow_h2.py ADDRESS PORT WAY NUMBER. They stay until
the program is ended."""
import asyncio
import struct
import sys

import hpack

from http2 import CONTINUATION, DATA, END_HEADERS, HEADERS, PREFACE, SETTINGS, WINDOW_UPDATE, frame

EVERY_S = 5
OPEN_AT_ONCE = 200
INITIAL_WINDOW_SIZE = 4
NAME = (":authority", "www.sluice.test")


def head(method, path):
    return hpack.Encoder().encode([(":method", method), (":scheme", "http"), NAME, (":path", path)])


def settings(window):
    return frame(SETTINGS, payload=struct.pack("!HI", INITIAL_WINDOW_SIZE, window))


def field(number):
    return hpack.Encoder().encode([(f"x-{number}", "y" * 20)], huffman=False)


# name: what comes first, and then again and again.
WAYS = {
    "headers": (settings(65535) + frame(HEADERS, 0, 1, head("GET", "/")),
                lambda number: frame(CONTINUATION, 0, 1, field(number))),
    "body": (settings(65535) + frame(HEADERS, END_HEADERS, 1, head("POST", "/echo")),
             lambda number: frame(DATA, 0, 1, b"z" * 10)),
    "read": (settings(10) + frame(HEADERS, END_HEADERS | 1, 1, head("GET", "/bytes/1000000")),
             lambda number: frame(WINDOW_UPDATE, 0, 1, struct.pack("!I", 10))),
}


async def drop(reader):
    while await reader.read(4096):
        pass


async def client(address, port, way, gate):
    first, again = WAYS[way]
    async with gate:
        reader, writer = await asyncio.open_connection(address, port)
    dropping = asyncio.create_task(drop(reader))
    writer.write(PREFACE + first)
    number = 0
    while not dropping.done():
        await asyncio.wait([dropping], timeout=EVERY_S)
        number += 1
        writer.write(again(number))


async def main(address, port, way, number):
    gate = asyncio.Semaphore(OPEN_AT_ONCE)
    await asyncio.gather(*(client(address, port, way, gate) for _ in range(number)), return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
