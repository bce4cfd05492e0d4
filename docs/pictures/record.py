"""Record `kopf-leader demo` as it is, and draw its two pictures: `python docs/pictures/record.py` (a minute).

- `demo.svg`: what the terminal shows, at double speed (`film.py`).
- `handover.svg`: from what the handlers wrote, who was at work around each handover (`handover.py`).

A run that breaks a promise is not drawn: run it again on a machine that has time.
"""

import fcntl
import os
import pty
import select
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pyte
from film import Frame, Row, svg
from handover import draw

HERE = Path(__file__).parent
COLUMNS, ROWS = 100, 32
EVERY = 1.0  # seconds of the run between two frames
SPEED = 2.0
STAND_STILL = 6.0  # seconds of the film at its end
KEPT = "what the handlers wrote are kept in"
OTHER_SCREEN, FIRST_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


def play(folder: Path) -> Iterator[tuple[float, bytes]]:
    """Run the demo in a terminal of its own: what it writes, and when. Raises SystemExit when it fails."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS), "LANG": "C.UTF-8"}
        os.execvp("kopf-leader", ["kopf-leader", "demo", "--keep-logs", str(folder)])  # noqa: S606, S607
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    begun = time.monotonic()
    while True:
        ready, _, _ = select.select([terminal], [], [], EVERY)
        try:
            written = os.read(terminal, 65536) if ready else b""
        except OSError:  # the other end is closed
            break
        if ready and not written:
            break
        yield time.monotonic() - begun, written
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(f"The demo ended with status {os.waitstatus_to_exitcode(status)}: nothing is drawn.")


def frames(written: Iterator[tuple[float, bytes]]) -> Iterator[Frame]:
    """The screen once in a while, from when the picture begins, and as it is in the end."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    pictured, begun, due = False, 0.0, 0.0
    for at, text in written:
        if pictured and at >= due:
            yield Frame((at - begun) / SPEED, rows(screen))
            due += EVERY
        while text:
            before, mark, text = _until_switch(text)  # noqa: PLW2901 (it is eaten up)
            stream.feed(before)
            if mark:
                screen.reset()
                if mark == OTHER_SCREEN:
                    pictured, begun, due = True, at, at + EVERY / 2
        last = at
    yield Frame((last - begun) / SPEED, rows(screen))


def _until_switch(text: bytes) -> tuple[bytes, bytes, bytes]:
    found = [(text.find(mark), mark) for mark in (OTHER_SCREEN, FIRST_SCREEN) if mark in text]
    if not found:
        return text, b"", b""
    index, mark = min(found)
    return text[:index], mark, text[index + len(mark) :]


def rows(screen: pyte.Screen) -> tuple[Row, ...]:
    """The screen's rows, each as runs of one style; not the one that names a folder of this run."""
    return tuple(() if KEPT in line else tuple(_runs(screen, n)) for n, line in enumerate(screen.display))


def _runs(screen: pyte.Screen, number: int) -> Iterator[tuple[int, str, str]]:
    start, text, style = 0, "", ""
    for column in range(COLUMNS):
        cell = screen.buffer[number][column]
        its = f"{cell.fg}{' b' if cell.bold else ''}" if cell.data != " " else style
        if its != style:
            if text.strip():
                yield start, text.rstrip(), style
            start, text, style = column, "", its
        text += cell.data
    if text.strip():
        yield start, text.rstrip(), style


def main() -> None:
    """Record, and draw both."""
    with tempfile.TemporaryDirectory() as folder:
        film = [*frames(play(Path(folder)))]
        if not any("Every promise was kept" in text for row in film[-1].rows for _, text, _ in row):
            sys.exit("The demo does not say that every promise was kept: nothing is drawn.")
        seconds = film[-1].at + STAND_STILL
        film[0] = Frame(0.0, film[0].rows)
        title = "kopf-leader demo: three replicas of an operator hand over to each other"
        (HERE / "demo.svg").write_text(svg(film, seconds=seconds, columns=COLUMNS, title=title), encoding="utf-8")
        (HERE / "handover.svg").write_text(draw(Path(folder) / "history.jsonl"), encoding="utf-8")


if __name__ == "__main__":
    main()
