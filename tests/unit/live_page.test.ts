/** The live page's logic, without a browser. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { pageBundle } from "../../scripts/page_bundle.ts";
import {
  HEIGHT,
  nearest,
  niceMaximum,
  pathOf,
  spanOf,
  summaryOf,
} from "../../src/admin/page/browser/curve.ts";
import { Feed, type Source } from "../../src/admin/page/browser/feed.ts";
import * as format from "../../src/admin/page/browser/format.ts";
import { History } from "../../src/admin/page/browser/history.ts";
import { bytesText } from "../../src/commands/format.ts";
import { Rates } from "../../src/admin/page/browser/rates.ts";
import { PAGE_HEADERS, pageFiles } from "../../src/admin/page/page.ts";
import type { Status } from "../../src/status/status.ts";
import { metricsAt } from "../support/status_document.ts";

/** Texts with ordinary spaces. */
function plain(text: string): string {
  return text.replaceAll("\u00a0", " ");
}

test("the page's files are up to date", async () => {
  const text = readFileSync(new URL("../../src/admin/page/bundle.ts", import.meta.url), "utf8");
  assert.ok(text === await pageBundle(), "refresh them with: node scripts/page.ts");
});

test("the page is small and loads nothing from elsewhere", () => {
  const all = Object.values(pageFiles).map(({ body }) => body).join("");
  assert.ok(all.length < 60_000, `${all.length} bytes`);
  const namespace = "http://www.w3.org/2000/svg";
  assert.deepEqual(all.replaceAll(namespace, "").match(/(https?:)?\/\/\w+\.\w+/g), null);
  for (const [, path] of pageFiles["/"]!.body.matchAll(/(?:href|src)="(\/\w+\.\w+)"/g)) {
    assert.ok(pageFiles[path!], `${path} is served`);
  }
  assert.equal(pageFiles["constructor"], undefined);
});

test("the page's policy allows nothing inline and no markup from text", () => {
  const policy = PAGE_HEADERS["Content-Security-Policy"]!;
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /require-trusted-types-for 'script'/);
  assert.doesNotMatch(policy, /unsafe|\*|https?:/);
  assert.doesNotMatch(pageFiles["/"]!.body, / (style|on\w+)=|<style|<script>/);
  assert.doesNotMatch(pageFiles["/page.js"]!.body, /innerHTML|outerHTML|insertAdjacentHTML|eval\(/);
});

test("numbers have units and three digits", () => {
  const texts: [string, string][] = [
    [format.count(undefined), "–"],
    [format.count(0), "0"],
    [format.count(1234), "1,234"],
    [format.count(99_999), "99,999"],
    [format.count(123_456), "123 k"],
    [format.count(999_950), "1.00 M"],
    [format.count(1.5e9), "1.50 G"],
    [format.rate(0), "0/s"],
    [format.rate(0.04), "< 0.1/s"],
    [format.rate(0.4), "0.4/s"],
    [format.rate(9.96), "10/s"],
    [format.rate(1234.4), "1,234/s"],
    [format.bytes(0), "0 B"],
    [format.bytes(1023.6), "1.00 KiB"],
    [format.bytes(999), "999 B"],
    [format.bytes(12_345_678), "11.8 MiB"],
    [format.bytes(1e18), "888 PiB"],
    [format.bytesPerSecond(1500), "1.46 KiB/s"],
    [format.latency(0), "0 ms"],
    [format.latency(0.000_12), "120 µs"],
    [format.latency(0.000_999_7), "1.00 ms"],
    [format.latency(0.0012), "1.20 ms"],
    [format.latency(12.34), "12.3 s"],
    [format.latency(Infinity), "off scale"],
    [format.latency(undefined), "–"],
    [format.amount(1, "problem"), "1 problem"],
    [format.amount(2000, "problem"), "2,000 problems"],
  ];
  for (const [text, expected] of texts) assert.equal(plain(text), expected);
});

test("durations have their two largest units, and days are counted in words", () => {
  const texts: [string, string][] = [
    [format.duration(-1), "0 s"],
    [format.duration(0.4), "0 s"],
    [format.duration(59), "59 s"],
    [format.duration(60), "1 min"],
    [format.duration(185), "3 min 5 s"],
    [format.duration(7_800), "2 h 10 min"],
    [format.duration(86_400 * 5 + 59), "5 d"],
    [format.duration(86_400 * 5 + 3_600), "5 d 1 h"],
    [format.daysLeft(0.4), "ends today"],
    [format.daysLeft(1.9), "1 day"],
    [format.daysLeft(90), "90 days"],
    [format.daysLeft(-0.2), "ended today"],
    [format.daysLeft(-1.2), "ended 1 day ago"],
    [format.daysLeft(-40), "ended 39 days ago"],
  ];
  for (const [text, expected] of texts) assert.equal(plain(text), expected);
});

test("a time of another day has its day, and what is no time stays as it is", () => {
  const now = new Date(2026, 4, 2, 12);
  const at = (day: number) => new Date(2026, 4, day, 11, 30, 15).toISOString();
  assert.doesNotMatch(format.time(at(2), now, "en-GB"), /May/);
  assert.match(format.time(at(2), now, "en-GB"), /11:30:15/);
  assert.match(format.time(at(1), now, "en-GB"), /1 May 2026.* 11:30/);
  assert.equal(format.time("<b>", now), "<b>");
  assert.equal(format.day("<b>"), "<b>");
});

test("rates and latencies are those of the time between documents", () => {
  const history = new History();
  for (let second = 0; second <= 20; second++) history.add(second * 1000, metricsAt(second));
  const [first, last] = [history.points[0]!, history.points.at(-1)!];
  assert.deepEqual([first.full, first.handshake50], [undefined, undefined]);
  assert.equal(first.connections, 300);
  assert.deepEqual([last.accepted, last.full, last.resumed], [120, 40, 75]);
  assert.deepEqual([last.received, last.sent, last.handshakes], [1.5e6, 24e6, 0]);
  // Of 115 each second, 10 below 1 ms and 60 more below 2 ms.
  assert.ok(Math.abs(last.handshake50! - (0.001 + 0.001 * (57.5 - 10) / 60)) < 1e-9);
  assert.equal(last.handshake99! > 0.005, true);
});

test("counters that start anew give no negative rate, and a pause gives a gap", () => {
  const history = new History();
  history.add(0, metricsAt(1000));
  history.add(1_000, metricsAt(1001));
  history.add(2_000, metricsAt(1));
  assert.equal(history.points.at(-1)!.full, 40);
  history.add(60_000, metricsAt(59));
  assert.equal(history.points.at(-1)!.full, undefined);
  history.add(61_000, metricsAt(60));
  assert.equal(history.points.at(-1)!.full, 40);
});

test("a document that comes twice counts once, and a clock that is set back begins anew", () => {
  const history = new History();
  history.add(5_000, metricsAt(5));
  history.add(5_000, metricsAt(5));
  assert.equal(history.points.length, 1);
  history.add(1_000, metricsAt(6));
  assert.deepEqual(history.points.map(({ at }) => at), [1_000]);
});

test("only the last five minutes are kept", () => {
  const history = new History();
  for (let second = 0; second < 1000; second++) history.add(second * 1000, metricsAt(second));
  assert.ok(history.points.length <= 302, `${history.points.length}`);
  const [cause] = history.causes();
  assert.deepEqual(cause, {
    source: "client",
    code: "handshake-failed",
    total: 1998,
    recent: 602,
  });
  assert.equal(history.recent("stud_backend_connects_total", { result: "succeeded" }), 115 * 301);
});

test("rates by key follow each total", () => {
  const rates = new Rates();
  rates.add("2026-01-01T00:00:00Z", [[1, 10], [2, 50]]);
  assert.equal(rates.of(1), undefined);
  rates.add("2026-01-01T00:00:02Z", [[1, 14], [2, 6], [3, 8]]);
  assert.deepEqual([rates.of(1), rates.of(2), rates.of(3)], [2, 3, 4]);
  rates.add("2026-01-01T00:00:02Z", [[1, 14]]);
  assert.equal(rates.of(1), 2);
});

test("the page and the commands show bytes in the same units", () => {
  for (let bytes = 0; bytes < 1e15; bytes = bytes * 3 + 7) {
    assert.equal(format.bytes(bytes).replace("\u00a0", " "), bytesText(bytes));
  }
});

test("a chart's scale is a round number", () => {
  const pairs = [[0, 1], [1, 1], [1.1, 2], [3, 5], [70, 100], [0.00012, 0.0002], [5000, 5000]];
  for (const [value, expected] of pairs) {
    assert.equal(Number(niceMaximum([value!], 1000).toPrecision(9)), expected);
  }
  assert.equal(niceMaximum([], 1000), 1);
  assert.equal(niceMaximum([Infinity, 3], 1000), 5);
  const bytes = [[0, "1 B"], [300, "500 B"], [501, "1.00 KiB"], [3e6, "5.00 MiB"], [
    9e7,
    "100 MiB",
  ]];
  for (const [value, expected] of bytes) {
    const maximum = niceMaximum([value as number], 1024);
    assert.equal(format.bytes(maximum).replace("\u00a0", " "), expected);
  }
  const lasting = (seconds: number) => spanOf([{ at: 5_000 }, { at: 5_000 + seconds * 1000 }]);
  assert.deepEqual([0, 60, 61, 290, 301].map(lasting), [60e3, 60e3, 120e3, 300e3, 300e3]);
  assert.equal(spanOf([]), 60e3);
});

test("a line has gaps, and stays within the chart", () => {
  const scale = { from: 0, to: 300, maximum: 10 };
  assert.equal(pathOf([[0, 0], [150, 5], [300, 10]], scale), "M0 80L150 40L300 0");
  assert.equal(pathOf([[0, 0], [1, undefined], [2, 10]], scale), "M0 80h0M2 0h0");
  assert.equal(pathOf([[0, Infinity], [1, 99]], scale), "M0 0L1 0");
  const area = pathOf([[0, 5], [1, 5]], { ...scale, isArea: true });
  assert.equal(area, `M0 40L1 40L1 ${HEIGHT}L0 ${HEIGHT}Z`);
  assert.equal(pathOf([], scale), "");
});

test("a summary is of what is known", () => {
  assert.deepEqual(summaryOf([undefined, 4, 2, undefined, 6]), {
    now: 6,
    least: 2,
    mean: 4,
    most: 6,
  });
  assert.deepEqual(summaryOf([undefined]), {});
  assert.equal(nearest([{ at: 0 }, { at: 10 }, { at: 20 }], 14), 1);
});

/** A feed with a clock and connections that the test moves. */
function fixture() {
  const sources: (Source & { emit(type: string, data?: string): void; isOpen: boolean })[] = [];
  const received: string[] = [];
  let now = 0;
  const feed = new Feed({
    now: () => now,
    onStatus: ({ time }) => received.push(time),
    open() {
      const listeners = new Map<string, (event: { data?: unknown }) => void>();
      const source = {
        isOpen: true,
        addEventListener: (type: string, listener: (event: { data?: unknown }) => void) =>
          void listeners.set(type, listener),
        close: () => void (source.isOpen = false),
        emit: (type: string, data?: string) => listeners.get(type)!({ data }),
      };
      sources.push(source);
      return source;
    },
  });
  const pass = (ms: number) => {
    for (const end = now + ms; now < end;) {
      now += 500;
      feed.tick();
    }
  };
  const send = (time: string) => sources.at(-1)!.emit("status", JSON.stringify({ time } as Status));
  return { feed, sources, received, pass, send };
}

test("the feed is live while new documents come", () => {
  const { feed, sources, received, pass, send } = fixture();
  assert.deepEqual([feed.state, feed.age], ["waiting", undefined]);
  sources[0]!.emit("open");
  assert.equal(feed.state, "waiting");
  send("1");
  pass(1_000);
  send("2");
  assert.deepEqual([feed.state, received], ["live", ["1", "2"]]);
});

test("a document that is repeated or no JSON is nothing new", () => {
  const { feed, sources, received, pass, send } = fixture();
  sources[0]!.emit("open");
  send("1");
  for (let i = 0; i < 10; i++) {
    pass(1_000);
    send("1");
    sources[0]!.emit("status", "{");
  }
  assert.deepEqual([feed.state, feed.age, received], ["old", 10_000, ["1"]]);
  assert.equal(sources.length, 1);
});

test("a lost connection is made again, with growing waits", () => {
  const { feed, sources, pass, send } = fixture();
  send("1");
  sources[0]!.emit("error");
  assert.equal(sources[0]!.isOpen, false);
  // It may be the moment in which one master follows another.
  assert.equal(feed.state, "live");
  pass(1_000);
  assert.equal(sources.length, 2);
  for (let i = 0; i < 60; i++) {
    sources.at(-1)!.emit("error");
    pass(500);
    // Also while the next attempt is under way.
    if (feed.age! > 5_000) assert.equal(feed.state, "away");
  }
  assert.equal(feed.state, "away");
  assert.ok(sources.length >= 6 && sources.length <= 10, `${sources.length}`);
  feed.retry();
  send("2");
  assert.equal(feed.state, "live");
  // An event of a connection that was given up.
  sources[0]!.emit("error");
  assert.equal(sources.at(-1)!.isOpen, true);
});

test("a service that cannot be reached from the beginning is away", () => {
  const { feed, sources, pass } = fixture();
  sources[0]!.emit("error");
  assert.equal(feed.state, "away");
  pass(1_000);
  assert.deepEqual([feed.state, sources.length], ["away", 2]);
  sources[1]!.emit("open");
  assert.equal(feed.state, "waiting");
});

test("a connection on which nothing comes is given up", () => {
  const { feed, sources, pass, send } = fixture();
  sources[0]!.emit("open");
  send("1");
  pass(14_000);
  assert.deepEqual([feed.state, sources.length], ["old", 1]);
  pass(2_000);
  assert.deepEqual([sources[0]!.isOpen, sources.length], [false, 2]);
});
