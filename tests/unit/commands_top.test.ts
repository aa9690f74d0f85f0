import assert from "node:assert/strict";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { NO_RATES, ratesBetween } from "../../src/commands/top/rates.ts";
import type { Model } from "../../src/commands/top/sections.ts";
import { keysOf, press, START, type State } from "../../src/commands/top/state.ts";
import { difference, type Line, shown } from "../../src/commands/top/styled.ts";
import { view } from "../../src/commands/top/view.ts";
import type { MetricFamily } from "../../src/status/metric.ts";
import type { Status } from "../../src/status/status.ts";
import { certificate, counter, statusDocument, worker } from "../support/small_status.ts";

const UP = "\x1b[A";
const DOWN = "\x1b[B";
const RIGHT = "\x1b[C";
const LEFT = "\x1b[D";

function pressed(...keys: string[]): State {
  return keys.reduce<State>((state, key) => {
    const next = press(state, key);
    assert.ok(typeof next !== "string", next as string);
    return next;
  }, START);
}

function text(lines: readonly Line[]): string[] {
  return lines.map((line) => stripVTControlCharacters(shown(line, 1000, false)));
}

function model(changes: Partial<Model> = {}): Model {
  return { status: statusDocument(), rates: NO_RATES, state: START, ...changes };
}

/** Two seconds after the first document, with other counts. */
function later(changes: Partial<Status>): Status {
  return statusDocument({ time: "2026-11-30T12:00:02.000Z", ...changes });
}

function histogram(name: string, counts: readonly number[], sum: number): MetricFamily {
  return { name, help: "", type: "histogram", bounds: [1], samples: [{ labels: {}, counts, sum }] };
}

test("rates are the differences of counters per second, over all series", () => {
  const before = statusDocument({
    metrics: [
      counter("stud_connections_accepted_total", [{ frontend: "a" }, 5], [{ frontend: "b" }, 5]),
      counter("stud_handshakes_total", [{ kind: "full", alpn: "h2" }, 10]),
      counter("stud_client_bytes_total", [{ direction: "received" }, 1000]),
      histogram("stud_handshake_seconds", [1, 0], 1),
    ],
  });
  const now = later({
    metrics: [
      counter("stud_connections_accepted_total", [{ frontend: "a" }, 15], [{ frontend: "b" }, 7]),
      counter(
        "stud_handshakes_total",
        [{ kind: "full", alpn: "h2" }, 14],
        [{ kind: "resumed", alpn: "h2" }, 8],
        [{ kind: "unknown" }, 99],
      ),
      counter("stud_client_bytes_total", [{ direction: "received" }, 3000], [{
        direction: "sent",
      }, 8]),
      counter("stud_connection_failures_total", [{ code: "handshake" }, 1]),
      histogram("stud_handshake_seconds", [3, 2], 1.5),
    ],
    workers: [worker(1, 5001, 20, 100_010), worker(2, 6000, 1, 4)],
  });
  assert.deepEqual(ratesBetween(before, now), {
    accepted: 6,
    full: 2,
    resumed: 4,
    handshakes: undefined,
    failures: 0.5,
    received: 1000,
    sent: 4,
    handshakeSeconds: 0.125,
    connectSeconds: undefined,
    workers: new Map([[5001, 5], [6000, 2]]),
  });
});

test("no rate is invented: without time, or for what a build does not report", () => {
  const metrics = [counter("stud_connections_accepted_total", [{}, 5])];
  const before = statusDocument({ metrics });
  assert.equal(ratesBetween(before, before), NO_RATES);
  const restarted = later({ metrics: [counter("stud_connections_accepted_total", [{}, 4])] });
  const { accepted, full } = ratesBetween(before, restarted);
  // What has started anew has counted from 0.
  assert.deepEqual({ accepted, full }, { accepted: 2, full: undefined });
  assert.equal(ratesBetween(before, later({ time: "x" })), NO_RATES);
});

test("a build that does not know the kind of handshakes shows all of them, and 0 is not unknown", () => {
  const completed = { result: "completed", kind: "unknown" };
  const reading = (count: number) => ({
    metrics: [
      counter("stud_handshakes_total", [completed, count], [
        { result: "failed", kind: "unknown" },
        7,
      ]),
      counter("stud_connection_failures_total"),
    ],
  });
  const rates = ratesBetween(statusDocument(reading(10)), later(reading(30)));
  assert.deepEqual([rates.full, rates.handshakes, rates.failures], [undefined, 10, 0]);
  const lines = text(view(model({ rates }), { columns: 80, rows: 24 })).join("\n");
  assert.match(lines, /^Handshakes {3}10\/s full or resumed, mean time -/m);
});

test("keys arrive one by one, whatever the terminal sends at once", () => {
  assert.deepEqual(keysOf(`q${UP}\x1bOBs\x03é\x1b[5~\x1b`), [
    "q",
    UP,
    "\x1bOB",
    "s",
    "\x03",
    "é",
    "\x1b[5~",
    "\x1b",
  ]);
});

test("keys sort, reverse, scroll, pause, show help and end", () => {
  assert.deepEqual(pressed("p"), { ...START, isPaused: true });
  assert.deepEqual(pressed(" ", "p"), START);
  assert.equal(pressed("s", RIGHT, "\x1bOC").sort, 3);
  assert.equal(pressed(LEFT).sort, 7);
  assert.equal(pressed(LEFT, RIGHT).sort, 0);
  assert.deepEqual(pressed("r", "s"), { ...START, sort: 1 });
  assert.equal(pressed(DOWN, DOWN, UP).scroll, 1);
  assert.equal(pressed(UP).scroll, 0);
  assert.ok(pressed("?").showsHelp);
  assert.ok(!pressed("?", "\x1b").showsHelp);
  assert.deepEqual(pressed("x", "\x1b[5~"), START);
  assert.deepEqual(["q", "\x03", "\x1a", "\x0c"].map((key) => press(START, key)), [
    "quit",
    "quit",
    "suspend",
    "redraw",
  ]);
});

test("the workers are sorted by the chosen column, numbers from the largest", () => {
  const status = statusDocument({
    workers: [worker(1, 30, 5, 0), worker(2, 20, 50, 0), worker(3, 10, 5, 0)],
  });
  const rates = { ...NO_RATES, workers: new Map([[30, 1], [20, 0], [10, 2]]) };
  const slots = (...keys: string[]) =>
    text(view(model({ status, rates, state: pressed(...keys) }), { columns: 80, rows: 24 }))
      .filter((line) => / serving /.test(line)).map((line) => line.trim()[0]).join("");
  assert.equal(slots(), "123");
  assert.equal(slots("r"), "321");
  assert.equal(slots("s"), "321", "by pid");
  assert.equal(slots("s", "s", "s", "s"), "213", "by open connections");
  assert.equal(slots("s", "s", "s", "s", "r"), "132");
  assert.equal(slots("s", "s", "s", "s", "s"), "312", "by accepted connections");
});

/** More of everything than a screen has lines. */
const crowded = statusDocument({
  health: "degraded",
  problems: Array.from({ length: 9 }, (_, i) => ({
    severity: i === 0 ? "error" : "warning",
    code: "x",
    text: `problem ${i} \x1b[2J`,
  })),
  workers: Array.from({ length: 64 }, (_, i) => worker(i + 1, 5000 + i, i, i)),
  certificates: {
    total: 500,
    listed: Array.from({ length: 500 }, (_, i) => certificate([`host-${i}.example.com`], i)),
  },
  failures: Array.from({ length: 20 }, (_, i) => ({
    time: "2026-11-30T11:59:00.000Z",
    worker: 1,
    client: `192.0.2.${i}:1`,
    source: "client",
    code: "handshake",
    cause: "\x1b]0;title\x07",
  })),
});

test("every size of terminal shows what is wrong first, and no more lines than it has", () => {
  for (const rows of [1, 2, 3, 7, 8, 10, 24, 50, 200]) {
    for (const columns of [1, 20, 79, 80, 200]) {
      const lines = view(model({ status: crowded }), { columns, rows });
      assert.ok(lines.length <= rows, `${columns}x${rows}`);
      const shownLines = lines.map((line) => shown(line, columns, false));
      for (const line of text(lines)) assert.doesNotMatch(line, /\p{Cc}/u);
      for (const line of shownLines) {
        assert.ok([...stripVTControlCharacters(line)].length <= columns, line);
      }
      if (rows >= 3) assert.match(text(lines)[1]!, /^stud is degraded: 1 error, 8 warnings/);
      if (rows >= 3) assert.ok(text(lines)[2]!.startsWith("error: problem 0"));
      if (rows >= 3 && columns >= 79) assert.equal(text(lines)[2], "error: problem 0 \\u{1b}[2J");
    }
  }
});

test("80x24 has a line for each kind of thing, and says how many there are", () => {
  const lines = text(view(model({ status: crowded }), { columns: 80, rows: 24 }));
  assert.equal(lines.length, 24);
  const all = lines.join("\n");
  assert.match(all, /^and 6 more; see stud status$/m);
  assert.match(all, /WORKER\^ .*\(1 to 2 of 64\)$/m);
  assert.match(all, /ENDS IN .*\(1 to \d of 500\)$/m);
  assert.match(all, /AGE .*\(1 to \d of 20\)$/m);
  assert.match(lines.at(-1)!, /^q quit/);
  const scrolled = pressed(...Array<string>(100).fill(DOWN));
  const end = text(view(model({ status: crowded, state: scrolled }), { columns: 80, rows: 24 }));
  assert.match(end.join("\n"), /\(63 to 64 of 64\)$/m);
});

test("a long problem is shown with its remedy", () => {
  const text80 = `the backend is down, ${"which matters, ".repeat(6)}start it`;
  const status = statusDocument({
    problems: [{ severity: "error", code: "x", text: text80 }, {
      severity: "warning",
      code: "y",
      text: "another",
    }],
  });
  const lines = text(view(model({ status }), { columns: 80, rows: 24 }));
  assert.match(
    lines.slice(2, 5).join("\n"),
    /^error: the backend [^]* start it\nwarning: another$/,
  );
  const narrow = text(view(model({ status }), { columns: 40, rows: 24 })).slice(2, 5);
  assert.match(narrow.join("\n"), / …$/);
  assert.ok(narrow.every((line) => line.length <= 40));
});

test("a pause, a service that is away and the help are visible", () => {
  const size = { columns: 80, rows: 24 };
  const paused = text(view(model({ state: pressed("p") }), size));
  assert.equal(paused[1], "stud is well  PAUSED");
  const away = { reason: "Connection refused", seconds: 12 };
  assert.equal(text(view(model({ away }), size))[2], "NO ANSWER for 12 s: Connection refused");
  assert.match(text(view(model({ state: pressed("?") }), size)).join("\n"), /q, Ctrl-C {5}quit/);
});

test("only lines that differ are written, with colour only where it is allowed", () => {
  assert.equal(difference(["a", "b"], ["a", "b"]), "");
  assert.equal(difference(["a", "b"], ["a", "c"]), "\x1b[?2026h\x1b[2;1Hc\x1b[?2026l");
  assert.equal(difference(["a", "b"], ["a"]), "\x1b[?2026h\x1b[2;1H\x1b[J\x1b[?2026l");
  const line: Line = [{ text: "bad", style: "error" }, { text: " rest" }];
  assert.equal(shown(line, 80, true), "\x1b[1;31mbad\x1b[0m rest\x1b[K");
  assert.equal(shown(line, 5, false), "\x1b[1mbad\x1b[0m r", "a full line erases nothing");
  assert.equal(shown([{ text: "ok", style: "good" }], 80, false), "ok\x1b[K");
});
