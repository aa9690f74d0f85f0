import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
} from "node:fs";
import * as net from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import * as runtime from "#runtime";
import type { LogEntry, LogLevel } from "../../src/base/log_entry.ts";
import { LogFileError } from "../../src/log/log_file.ts";
import { openLog } from "../../src/log/log.ts";
import type { LogConfig } from "../../src/options/config.ts";
import type { Libc } from "../../src/os/libc.ts";
import { systemChild, temporaryDirectory } from "../support/system.ts";
import { until } from "../support/until.ts";

const context = { libc: runtime.libc as Libc, dialect: "hitch" } as const;

function newPath(): string {
  return join(temporaryDirectory(), "stud.log");
}

function config(part: Partial<LogConfig>): LogConfig {
  return { level: 2, format: "text", file: "", quiet: [], syslog: "", ...part };
}

function entry(level: LogLevel, message: string, facts: LogEntry["facts"] = {}): LogEntry {
  return { level, event: "warning", message, facts };
}

function lines(path: string): string[] {
  return readFileSync(path, "utf8").split("\n").slice(0, -1);
}

/** The pids in text lines. */
const pids = new Set<number>();

/** Level, event, subject and message of text lines: what is the same in each run. */
function texts(path: string): string[] {
  return lines(path).map((line) =>
    line.replace(
      /^\d{4}-\d\d-\d\dT[\d:.]{12}Z (\w+ *) \[(\d+)\] /,
      (_, level: string, pid: string) => {
        pids.add(Number(pid));
        return `${level} `;
      },
    )
  );
}

test("text lines have time, level, pid, event, subject and a message without control characters", () => {
  const file = newPath();
  const log = openLog(config({ file }), context);
  log(entry("info", "plain"));
  log(entry("error", "serves", { worker: 3 }));
  log(entry("warn", "\x1b[2J\nforged {message} {event}"));
  texts(file);
  assert.deepEqual([...pids], [process.pid]);
  assert.match(
    lines(file)[0]!,
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info {2}\[\d+\] warning plain$/,
  );
  assert.deepEqual(texts(file).slice(1), [
    "error warning worker 3: serves",
    "warn  warning \\x1b[2J\\x0aforged {message} {event}",
  ]);
});

test("no text of a stranger controls a terminal that shows the log, in text, JSON or a fact", () => {
  const hostile = "csi\x9b2J del\x7f nel\u0085 \u2028 \u202eevil\u2066 \u200b \u{e0041} \ud800";
  for (const format of ["text", "json"] as const) {
    const file = newPath();
    const log = openLog(config({ file, format }), context);
    log(entry("warn", hostile, { cause: hostile, [hostile]: hostile }));
    const [line, ...others] = lines(file);
    assert.deepEqual(others, []);
    assert.doesNotMatch(line!, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\ufffd]/u);
    if (format === "json") assert.equal(JSON.parse(line!).cause, hostile);
  }
});

test("JSON lines have every fact", () => {
  const file = newPath();
  const log = openLog(config({ file, format: "json" }), context);
  log(entry("warn", "a\nb", { worker: 1, client: "192.0.2.1:7", ok: true }));
  const { time, ...rest } = JSON.parse(lines(file)[0]!);
  assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(rest, {
    level: "warn",
    master: process.pid,
    pid: process.pid,
    event: "warning",
    message: "a\nb",
    worker: 1,
    client: "192.0.2.1:7",
    ok: true,
  });
});

test("no fact replaces time, level, master, event or message; pid is what the entry is about", () => {
  const file = newPath();
  const log = openLog(config({ file, format: "json" }), context);
  const forged = { time: "0", level: "info", master: 1, event: "forged", message: "forged" };
  log(entry("warn", "true", { ...forged, pid: 7 }));
  const { time, ...rest } = JSON.parse(lines(file)[0]!);
  assert.match(time, /^2/);
  const master = process.pid;
  assert.deepEqual(rest, { level: "warn", master, pid: 7, event: "warning", message: "true" });
});

test("the level selects entries, and can be changed", () => {
  const file = newPath();
  const log = openLog(config({ file, level: 0 }), context);
  const say = () => {
    for (const level of ["debug", "info", "warn", "error"] as const) log(entry(level, level));
  };
  say();
  assert.deepEqual(texts(file), ["error warning error"]);
  log.prepare(config({ file, level: 1 })).commit();
  say();
  assert.deepEqual(texts(file).slice(1), [
    "info  warning info",
    "warn  warning warn",
    "error warning error",
  ]);
  log.prepare(config({ file, level: 2 })).commit();
  say();
  assert.equal(texts(file)[4], "debug warning debug");
});

test("new settings apply together: file and format", () => {
  const first = newPath();
  const second = newPath();
  const log = openLog(config({ file: first }), context);
  log(entry("info", "one"));
  log.prepare(config({ file: second, format: "json" })).commit();
  log(entry("info", "two"));
  assert.deepEqual(texts(first), ["info  warning one"]);
  assert.equal(JSON.parse(lines(second)[0]!).message, "two");
});

test("prepared settings change nothing until they are committed", async () => {
  const [file, other] = [newPath(), newPath()];
  const log = openLog(config({ file, level: 1 }), context);
  const change = log.prepare(config({ file: other, level: 2, format: "json" }));
  log(entry("debug", "too much"));
  log(entry("info", "here"));
  change.drop();
  log(entry("info", "still here"));
  assert.deepEqual(texts(file), ["info  warning here", "info  warning still here"]);
  assert.deepEqual(texts(other), []);
  const isOpen = () =>
    readdirSync("/proc/self/fd").some((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`) === other;
      } catch {
        return false;
      }
    });
  await until(() => !isOpen(), "the dropped file is closed");
});

test("settings that cannot be applied change nothing", () => {
  const file = newPath();
  const log = openLog(config({ file, level: 1 }), context);
  const wrong = join(temporaryDirectory(), "missing", "stud.log");
  assert.throws(
    () => log.prepare({ level: 2, format: "json", file: wrong, quiet: [], syslog: "daemon" }),
    LogFileError,
  );
  log(entry("debug", "still too much"));
  log(entry("info", "still here"));
  assert.deepEqual(texts(file), ["info  warning still here"]);
});

test("a file that cannot be opened at start is refused", () => {
  const file = join(temporaryDirectory(), "missing", "stud.log");
  assert.throws(() => openLog(config({ file }), context), LogFileError);
});

test("reopens for rotation, and reports a failure in the old file", () => {
  const file = newPath();
  const log = openLog(config({ file }), context);
  log(entry("info", "one"));
  renameSync(file, `${file}.1`);
  log.reopen();
  log(entry("info", "two"));
  assert.deepEqual([texts(`${file}.1`), texts(file)], [["info  warning one"], [
    "info  warning two",
  ]]);
  renameSync(file, `${file}.2`);
  mkdirSync(file);
  log.reopen();
  log(entry("info", "three"));
  assert.deepEqual(texts(`${file}.2`), [
    "info  warning two",
    `error log-not-reopened cannot reopen the log file ${file}: Illegal operation on a directory; ` +
    "still writing to the old file",
    "info  warning three",
  ]);
});

test("syslog receives the text without our time, at the same levels", {
  timeout: 60_000,
}, async () => {
  const syslogPath = newPath();
  const file = newPath();
  let text = "";
  const server = net.createServer((peer) => {
    peer.on("data", (part: Uint8Array) => text += Buffer.from(part).toString());
  });
  server.listen(syslogPath);
  await once(server, "listening");
  const wanted = config({ file, level: 1, format: "json", syslog: "local0" });
  const log = openLog(wanted, { ...context, syslogPath });
  log(entry("debug", "too much"));
  log(entry("warn", "a\nb", { worker: 2 }));
  await until(() => text.endsWith("\0"), "a record");
  assert.match(text, /^<132>... .. ..:..:.. hitch\[\d+\]: warning worker 2: a\\x0ab\0$/);
  assert.equal(JSON.parse(lines(file)[0]!).message, "a\nb");
  log.prepare({ ...wanted, syslog: "" }).commit();
  log(entry("warn", "not for it"));
  const closed = once(server, "close");
  server.close();
  await closed;
  assert.doesNotMatch(text, /not for it/);
});

test("syslog that cannot be reached is reported once", () => {
  const file = newPath();
  const syslogPath = newPath();
  const log = openLog(config({ file, syslog: "daemon" }), { ...context, syslogPath });
  log(entry("info", "one"));
  assert.deepEqual(texts(file), [
    `warn  syslog-away cannot reach syslog at ${syslogPath}; lines for it are lost until it is available`,
    "info  warning one",
  ]);
});

test("lines that a slow log loses when the file changes are reported in the new one", {
  timeout: 60_000,
}, async () => {
  const fifo = newPath();
  execFileSync("mkfifo", [fifo]);
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  let lost = 0;
  const log = openLog(config({ file: fifo }), { ...context, lost: (lines) => lost += lines });
  for (let i = 0; i < 3000; i++) log(entry("info", "x".repeat(1000)));
  const file = newPath();
  log.prepare(config({ file, format: "json" })).commit();
  await log.flush();
  log(entry("info", "next"));
  const [next, report, ...rest] = lines(file).map((line) => JSON.parse(line));
  assert.deepEqual(rest, []);
  assert.equal(next.message, "next");
  assert.equal(report.event, "log-dropped");
  assert.equal(report.message, `${report.lines} log lines were lost: the log was full or too slow`);
  assert.ok(report.lines > 1000 && report.lines < 3000, report.message);
  assert.equal(lost, report.lines);
  closeSync(reader);
});

test("a record that cannot be formatted is reported to the other destination", {
  timeout: 60_000,
}, async () => {
  const syslogPath = newPath();
  let text = "";
  const server = net.createServer((peer) => {
    peer.on("data", (part: Uint8Array) => text += Buffer.from(part).toString());
  });
  server.listen(syslogPath);
  await once(server, "listening");
  const file = newPath();
  const wanted = config({ file, format: "json", syslog: "daemon" });
  const log = openLog(wanted, { ...context, syslogPath });
  log(entry("info", "whole", { number: 1n as unknown as number }));
  await until(() => /<27>.*: log-failed .*Failed to emit a log record/.test(text), "a report");
  assert.match(text, /<30>[^\0]*: warning whole\0/);
  assert.deepEqual(lines(file), []);
  log.prepare({ ...wanted, syslog: "" }).commit();
  const closed = once(server, "close");
  server.close();
  await closed;
});

test("the log is standard error without a file, and only the file with one", () => {
  const stderrFor = (file: string) => {
    const words = [...systemChild.slice(1), "log", JSON.stringify(config({ file }))];
    return spawnSync(systemChild[0]!, words, { encoding: "utf8", timeout: 60_000 }).stderr;
  };
  assert.match(stderrFor(""), /^\S+Z warn {2}\[\d+\] warning worker 1: a message\n$/);
  const file = newPath();
  assert.equal(stderrFor(file), "");
  assert.deepEqual(texts(file), ["warn  warning worker 1: a message"]);
});
