/** A stand-in for the syslog daemon: `cat` reads from its socket, so every runtime can. */
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import * as net from "node:net";
import { join } from "node:path";
import * as runtime from "#runtime";
import { sockaddr } from "../../src/os/sockaddr.ts";
import { SOCK_CLOEXEC } from "../../src/os/constants.ts";
import { SOCK_DGRAM } from "../../src/os/constants.ts";
import { AF_UNIX } from "../../src/os/constants.ts";
import type { Libc } from "../../src/os/libc.ts";
import { facilityNumber, Syslog } from "../../src/log/syslog.ts";
import { temporaryDirectory } from "../support/system.ts";
import { until } from "../support/until.ts";

const libc: Libc = runtime.libc;
const limit = { timeout: 60_000 };
const DAEMON = 3;
const logs: Log[] = [];
after(() => Promise.all(logs.map((log) => log.stop())));

interface Log {
  readonly text: () => string;
  /** Begins to read what was sent. */
  read(): void;
  stop(): Promise<void>;
}

function startLog(path: string): Log {
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const address = sockaddr({ family: "unix", path });
  assert.equal(libc.bind(fd, address, address.length), 0);
  let reader: ChildProcess | undefined;
  let text = "";
  let isOpen = true;
  const log: Log = {
    text: () => text,
    read() {
      reader = spawn("cat", { stdio: [fd, "pipe", "inherit"] });
      // A part may end in the middle of a character.
      reader.stdout!.setEncoding("utf8").on("data", (part: string) => text += part);
    },
    async stop() {
      if (!isOpen) return;
      isOpen = false;
      libc.close(fd);
      rmSync(path, { force: true });
      if (!reader) return;
      const ended = once(reader, "exit");
      reader.kill("SIGKILL");
      await ended;
    },
  };
  logs.push(log);
  return log;
}

function newPath(): string {
  return join(temporaryDirectory(), "log");
}

/** A clock that the test advances. */
function handClock(): { now: () => number; pass(ms: number): void } {
  let time = 1_000_000;
  return { now: () => time, pass: (ms) => void (time += ms) };
}

test("a record has priority, time, name and pid", limit, async () => {
  const path = newPath();
  const log = startLog(path);
  log.read();
  const syslog = new Syslog(libc, DAEMON, "hitch", { path });
  const severities = [["error", 27], ["warn", 28], ["info", 30], ["debug", 31]] as const;
  for (const [level] of severities) syslog.write(level, `it is ${level};`);
  await until(() => log.text().includes("debug;"), "four records");
  const time = "[A-Z][a-z]{2} [ 1-3]\\d [0-2]\\d:[0-5]\\d:[0-6]\\d";
  const records = severities.map(([level, priority]) =>
    `<${priority}>${time} hitch\\[${process.pid}\\]: it is ${level};`
  );
  assert.match(log.text(), new RegExp(`^${records.join("")}$`));
  syslog.close();
});

test("facilities have the numbers of RFC 3164, under the names of both programs", () => {
  const numbers: Record<string, number> = {
    user: 1,
    mail: 2,
    daemon: 3,
    lpr: 6,
    news: 7,
    uucp: 8,
    cron: 9,
    authpriv: 10,
    ftp: 11,
    local0: 16,
    local1: 17,
    local7: 23,
  };
  for (const [name, number] of Object.entries(numbers)) {
    assert.equal(facilityNumber(name, "stud"), number, name);
    assert.equal(facilityNumber(name, "hitch"), number, name);
  }
  assert.equal(facilityNumber("auth", "stud"), 10);
  assert.equal(facilityNumber("auth", "hitch"), 4);
  for (const name of ["", "kern", "local8", "constructor"]) {
    assert.equal(facilityNumber(name, "stud"), undefined, name);
  }
});

test("a long line is cut before the character that does not fit", limit, async () => {
  const path = newPath();
  const log = startLog(path);
  log.read();
  const syslog = new Syslog(libc, DAEMON, "stud", { path });
  for (const shift of ["", "x", "xx"]) {
    syslog.write("info", `${shift}${"€".repeat(4000)}`);
  }
  syslog.write("info", "end;");
  await until(() => log.text().includes("end;"), "all records");
  const records = log.text().split(/(?=<30>)/);
  assert.equal(records.length, 4);
  for (const record of records.slice(0, 3)) {
    assert.ok(!record.includes("\ufffd"));
    const { length } = Buffer.from(record);
    assert.ok(length > 8192 - 3 && length <= 8192, `${length} bytes`);
  }
  syslog.close();
});

test("a restarted syslog is reconnected, with at most one attempt a second", limit, async () => {
  const path = newPath();
  const clock = handClock();
  const first = startLog(path);
  first.read();
  const syslog = new Syslog(libc, DAEMON, "stud", { path, now: clock.now });
  syslog.write("info", "one;");
  await until(() => first.text().includes("one;"), "the first record");
  await first.stop();
  clock.pass(1000);
  syslog.write("info", "two;");
  assert.ok(!syslog.isConnected);
  const second = startLog(path);
  second.read();
  clock.pass(999);
  syslog.write("info", "three;");
  assert.ok(!syslog.isConnected);
  clock.pass(1);
  syslog.write("info", "four;");
  await until(() => second.text().includes("lost"), "the number of lost lines");
  assert.match(
    second.text(),
    /^<30>.*: four;<27>.*: 2 log lines were lost: syslog did not accept them$/,
  );
  syslog.close();
});

test("a line after a restart is not lost", limit, async () => {
  const path = newPath();
  const clock = handClock();
  const first = startLog(path);
  const syslog = new Syslog(libc, DAEMON, "stud", { path, now: clock.now });
  await first.stop();
  const second = startLog(path);
  second.read();
  clock.pass(1000);
  syslog.write("info", "one;");
  await until(() => second.text().includes("one;"), "the record");
  assert.doesNotMatch(second.text(), /lost/);
  syslog.close();
});

test(
  "a syslog that does not read does not block, and receives the number of lost lines",
  limit,
  async () => {
    const path = newPath();
    const log = startLog(path);
    const syslog = new Syslog(libc, DAEMON, "stud", { path });
    const lines = 2000;
    const long = "x".repeat(8000);
    for (let i = 0; i < lines; i++) syslog.write("info", `line ${long}`);
    log.read();
    await until(() => {
      syslog.write("info", "again");
      return log.text().includes("lost");
    }, "the number of lost lines");
    const lost = Number(/: (\d+) log lines were lost/.exec(log.text())![1]);
    const arrived = log.text().match(/: line /g)!.length;
    assert.ok(lost >= lines - arrived, `${arrived} came, ${lost} were lost`);
    assert.ok(arrived < lines);
    syslog.close();
  },
);

test("without a syslog daemon only the lines are lost", () => {
  const syslog = new Syslog(libc, DAEMON, "stud", { path: newPath() });
  assert.ok(!syslog.isConnected);
  syslog.write("error", "this is lost");
  syslog.close();
});

test("a syslog with a stream socket receives records that end in 0", limit, async () => {
  const path = newPath();
  let text = "";
  const server = net.createServer((peer) => {
    peer.on("data", (part: Uint8Array) => text += Buffer.from(part).toString());
  });
  server.listen(path);
  await once(server, "listening");
  const syslog = new Syslog(libc, DAEMON, "stud", { path });
  syslog.write("info", "one;");
  syslog.write("warn", "y".repeat(9000));
  await until(() => text.split("\0").length === 3, "two records");
  const [one, long] = text.split("\0");
  assert.match(one!, /^<30>.*: one;$/);
  assert.match(long!, /^<28>.*: y+$/);
  assert.equal(long!.length, 8191);
  syslog.close();
  server.close();
  await once(server, "close");
});
