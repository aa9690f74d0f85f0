import { after, test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as runtime from "#runtime";
import { monotonicMicroseconds } from "../../src/os/monotonic_clock.ts";
import { EAGAIN } from "../../src/os/constants.ts";
import type { Libc } from "../../src/os/libc.ts";
import { Notifier, notifySettings } from "../../src/system/notify.ts";
import { receiveDatagrams, type Receiver } from "../support/datagrams.ts";
import { HandClock } from "../support/hand_clock.ts";
import { temporaryDirectory } from "../support/system.ts";
import { until } from "../support/until.ts";

const libc: Libc = runtime.libc;
const limit = { timeout: 60_000 };
const receivers: Receiver[] = [];
after(() => Promise.all(receivers.map((receiver) => receiver.stop())));

async function notified(
  { path = join(temporaryDirectory(), "notify"), watchdog = 0, isThere = true } = {},
) {
  const clock = new HandClock();
  const lines: string[] = [];
  const settings = { socket: path, ...(watchdog > 0 ? { watchdog } : {}) };
  const notifier = new Notifier(settings, { libc, clock, log: (line) => lines.push(line.message) });
  const receiver = isThere ? await receiveDatagrams(path) : undefined;
  if (receiver) receivers.push(receiver);
  const received = async (count: number) => {
    await until(() => receiver!.datagrams().length >= count, `${count} datagrams`);
    return receiver!.datagrams();
  };
  return { clock, lines, notifier, path, received };
}

test("the variables are removed from the environment", () => {
  const given = { PATH: "/bin", NOTIFY_SOCKET: "@n", WATCHDOG_USEC: "3000000", WATCHDOG_PID: "7" };
  assert.deepEqual(notifySettings(given, 7), { socket: "@n", watchdog: 3_000_000 });
  assert.deepEqual(given, { PATH: "/bin" });
});

test("a watchdog is used if it is for this process and a valid time", () => {
  const cases: [Record<string, string>, number | undefined][] = [
    [{ WATCHDOG_USEC: "20" }, 20],
    [{ WATCHDOG_USEC: "20", WATCHDOG_PID: "8" }, undefined],
    [{ WATCHDOG_USEC: "0" }, undefined],
    [{ WATCHDOG_USEC: "-5" }, undefined],
    [{ WATCHDOG_USEC: "soon" }, undefined],
    [{}, undefined],
  ];
  for (const [given, expected] of cases) {
    const { watchdog } = notifySettings({ ...given, NOTIFY_SOCKET: "/run/n" }, 7);
    assert.equal(watchdog, expected, JSON.stringify(given));
  }
  assert.deepEqual(notifySettings({ WATCHDOG_USEC: "20" }, 7), {});
});

test("each state arrives as one datagram, in order", limit, async () => {
  const { notifier, received, lines } = await notified();
  const before = monotonicMicroseconds(libc);
  notifier.ready("listening");
  notifier.reloading();
  notifier.ready("listening again");
  notifier.extend(2.5);
  notifier.mainPid(77);
  notifier.stopping("draining");
  const [ready, reloading, ...others] = await received(6);
  assert.equal(ready, "READY=1\nSTATUS=listening");
  const began = BigInt(/^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(reloading!)![1]!);
  assert.ok(began >= before && began <= monotonicMicroseconds(libc), `${began}`);
  assert.deepEqual(others, [
    "READY=1\nSTATUS=listening again",
    "EXTEND_TIMEOUT_USEC=2500000",
    "MAINPID=77",
    "STOPPING=1\nSTATUS=draining",
  ]);
  assert.deepEqual(lines, []);
});

test("an abstract name is a valid address", limit, async () => {
  const { notifier, received } = await notified({ path: `@stud-notify-${process.pid}` });
  notifier.ready("listening");
  assert.deepEqual(await received(1), ["READY=1\nSTATUS=listening"]);
});

test("the monotonic clock is the kernel's, in microseconds", () => {
  const began = performance.now();
  const [a, b] = [monotonicMicroseconds(libc), monotonicMicroseconds(libc)];
  const milliseconds = performance.now() - began;
  const seconds = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
  assert.ok(b >= a && Number(b - a) / 1000 <= milliseconds + 1);
  // Only one of the clocks counts time in suspension.
  assert.ok(Number(b) / 1_000_000 <= seconds + 1);
});

test("a status is sent when it changes, once a second at most", limit, async () => {
  const { clock, notifier, received } = await notified();
  notifier.ready("1 connection");
  notifier.status("1 connection");
  notifier.status("2 connections");
  for (const count of [3, 4, 5]) notifier.status(`${count} connections`);
  clock.advance(999);
  notifier.extend(1);
  clock.advance(1);
  notifier.status("5 connections");
  clock.advance(5000);
  notifier.status("6 connections");
  assert.deepEqual(await received(5), [
    "READY=1\nSTATUS=1 connection",
    "STATUS=2 connections",
    "EXTEND_TIMEOUT_USEC=1000000",
    "STATUS=5 connections",
    "STATUS=6 connections",
  ]);
});

test(
  "the watchdog is notified twice in its timeout, while the service is alive",
  limit,
  async () => {
    const { clock, notifier, received } = await notified({ watchdog: 3_000_000 });
    let isAlive = true;
    notifier.watchdog(() => isAlive);
    clock.advance(3000);
    isAlive = false;
    clock.advance(6000);
    isAlive = true;
    clock.advance(1500);
    notifier.silence();
    clock.advance(6000);
    const { notifier: other } = await notified({ watchdog: 0 });
    other.watchdog(() => assert.fail("nobody asked for it"));
    assert.deepEqual(await received(4), Array.from({ length: 4 }, () => "WATCHDOG=1"));
  },
);

test("a slow manager receives its messages later, in order, without blocking", limit, async () => {
  const path = join(temporaryDirectory(), "notify");
  const receiver = await receiveDatagrams(path);
  receivers.push(receiver);
  let isFull = true;
  const slow: Libc = {
    ...libc,
    send: (...words) => isFull ? -1 : libc.send(...words),
    errno: () => isFull ? EAGAIN : libc.errno(),
  };
  const clock = new HandClock();
  const log = () => assert.fail("nothing to log");
  const notifier = new Notifier({ socket: path }, { libc: slow, clock, log });
  for (let i = 0; i < 50; i++) notifier.extend(i);
  notifier.ready("late");
  clock.advance(1000);
  isFull = false;
  const hasAll = () => {
    // The receiver's own queue may be shorter than what waits.
    clock.advance(100);
    return receiver.datagrams().length === 16;
  };
  await until(hasAll, "the last sixteen");
  assert.equal(receiver.datagrams()[0], "EXTEND_TIMEOUT_USEC=35000000");
  assert.equal(receiver.datagrams()[15], "READY=1\nSTATUS=late");
});

test("a manager that cannot be reached is logged once", async () => {
  const path = join(temporaryDirectory(), "missing");
  const { notifier, lines } = await notified({ path, isThere: false });
  notifier.ready("listening");
  notifier.stopping("over");
  assert.deepEqual(lines, [
    `cannot notify the service manager at ${path} (ENOENT); check NOTIFY_SOCKET`,
  ]);
});

test("an unsupported address is logged in one line, and disables notification", async () => {
  for (const path of ["vsock:2:1234", "notify", `/${"x".repeat(200)}`]) {
    const { notifier, lines, clock } = await notified({ path, watchdog: 20_000, isThere: false });
    assert.ok(!notifier.isWanted);
    notifier.ready("listening");
    notifier.watchdog(() => assert.fail("there is no watchdog"));
    clock.advance(1000);
    assert.deepEqual(lines, [
      `cannot notify the service manager: NOTIFY_SOCKET is ${path}, and stud supports only Unix ` +
      "sockets, as a path or @name of fewer than 108 bytes",
    ]);
  }
});

test("a line break in a status does not begin another assignment", limit, async () => {
  const { notifier, received } = await notified();
  notifier.ready("listening on /tmp/a\nMAINPID=1");
  notifier.status("listening on /tmp/b\nSTOPPING=1");
  assert.deepEqual(await received(2), [
    "READY=1\nSTATUS=listening on /tmp/a\\x0aMAINPID=1",
    "STATUS=listening on /tmp/b\\x0aSTOPPING=1",
  ]);
});

test(
  "a watchdog that is too short gets a bounded number of messages, and a line",
  limit,
  async () => {
    const { clock, notifier, lines, received } = await notified({ watchdog: 1 });
    notifier.watchdog(() => true);
    clock.advance(200);
    notifier.extend(1);
    const datagrams = await received(6);
    assert.equal(datagrams.filter((text) => text === "WATCHDOG=1").length, 5);
    assert.deepEqual(lines, [
      "a watchdog timeout of 0.001 ms is too short for stud, which notifies the service manager " +
      "every 50 ms at most; raise WatchdogSec=",
    ]);
  },
);

test("without a service manager nothing happens", () => {
  const notifier = new Notifier(notifySettings({}, 7), {
    libc: new Proxy({} as Libc, { get: () => assert.fail("no system call") }),
    log: () => assert.fail("no line"),
  });
  assert.ok(!notifier.isWanted);
  notifier.ready("listening");
  notifier.reloading();
  notifier.status("listening");
  notifier.watchdog(() => true);
  notifier.stopping("over");
});

test(
  "the manager is notified of a successor, and the notifier can fall silent",
  limit,
  async () => {
    const { notifier, path, received } = await notified({ watchdog: 20_000 });
    notifier.mainPid(8);
    notifier.silence();
    notifier.stopping("not sent");
    const other = new Notifier({ socket: path }, { libc, log: () => {} });
    other.ready("new");
    assert.deepEqual(await received(2), ["MAINPID=8", "READY=1\nSTATUS=new"]);
  },
);
