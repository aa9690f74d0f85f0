import assert from "node:assert/strict";
import { test } from "node:test";
import { readOptions } from "../../bench/options.ts";
import { axisTo, barChart, lineChart } from "../../bench/plot.ts";
import { checkTargets, markdown, type Section, sectionText } from "../../bench/report.ts";
import { Results, type Row } from "../../bench/rows.ts";
import type { Target } from "../../bench/targets.ts";

const PEERS = ["hitch", "haproxy"];
const ROWS: readonly Row[] = [
  { name: "handshake", title: "a handshake", unit: "µs", digits: 1, operation: "connection" },
  { name: "memory", title: "memory", unit: "KB", digits: 1 },
];

/** Two rounds: stud needs 60, then 100, where hitch needs 100, then 200; HAProxy needs 80. */
function measured(): Results {
  const results = new Results();
  for (const [round, ours, hitch] of [[1, 60, 100], [2, 100, 200]] as const) {
    results.at("handshake", "bun").add(round, { value: ours, rate: 1000, busy: 0.5 });
    results.at("handshake", "hitch").add(round, { value: hitch });
    results.at("handshake", "haproxy").add(round, { value: 80 });
  }
  results.at("memory", "bun").add(1, { value: 6.04 });
  results.at("handshake", "node").problem = "failed: 3 of 4 answers";
  return results;
}

function targetResults(...given: readonly Partial<Target>[]): string[] {
  const targets = given.map((each) =>
    ({ program: "bun", row: "handshake", of: "hitch", limit: 1, ...each }) as Target
  );
  return checkTargets(targets, measured(), PEERS, "hitch").map(({ text }) => text);
}

test("a target is met or missed by the median ratio in the same rounds", () => {
  assert.deepEqual(targetResults({ limit: 0.55 }, { limit: 0.5 }), [
    "0.55, target 0.55: met",
    "0.55, target 0.50: missed",
  ]);
});

test("a target may be relative to the best peer, or a figure of its own", () => {
  assert.deepEqual(targetResults({ of: "best peer" }, { row: "memory", of: "figure", limit: 5 }), [
    "1.00 of haproxy, target 1.00: met",
    "6.0, target 5: missed",
  ]);
});

test("a program that failed misses its target, and what was not measured has no result", () => {
  assert.deepEqual(targetResults({ program: "node" }, { program: "deno" }, { row: "start" }), [
    "no figure (failed: 3 of 4 answers), target 1.00: missed",
  ]);
});

test("a problem replaces the figures, and no program is compared with them", () => {
  const results = measured();
  results.at("handshake", "hitch").problem = "does not resume";
  assert.equal(results.find("handshake", "hitch")!.value, undefined);
  const bun = results.find("handshake", "bun")!;
  assert.equal(bun.ratioTo(results.find("handshake", "hitch")), undefined);
});

function section(): Section {
  const results = measured();
  const target: Target = { program: "bun", row: "handshake", of: "hitch", limit: 0.5 };
  return {
    ...{ prefix: false, rows: ROWS, results, latencyRate: 0, base: "hitch" },
    columns: ["bun", "node", "hitch"].map((name) => ({ name, title: name })),
    targetResults: checkTargets([target], results, PEERS, "hitch"),
  };
}

test("the printed table has figure, ratio, spread, rate and target result, or the problem", () => {
  const text = sectionText(section());
  assert.match(text, /^handshake: a handshake, µs for each connection$/m);
  assert.match(
    text,
    /^ {2}bun .* 80\.0 µs {3}0\.55 \(0\.50–0\.60\) .*1000\/s .*50 % busy .*target 0\.50: missed$/m,
  );
  assert.match(text, /^ {2}node +failed: 3 of 4 answers$/m);
  assert.doesNotMatch(text, /NaN|undefined/);
});

test("performance.md has the figures, the targets and how it was made", () => {
  const provenance = {
    ...{ command: "npm run bench", date: "2026-01-02", rounds: 2 },
    ...{ machine: ["CPU: one"], missing: ["nginx stream, missing"] },
    sessions: "| 98 % |",
    admin: "| admin |",
  };
  const text = markdown([section()], provenance, ["![plot](performance.svg)"]);
  assert.match(text, /\| 80\.0<br>\*\*0\.55\*\* \(0\.50–0\.60\) \| failed: 3 of 4 answers \|/);
  assert.match(text, /\| bun \| handshake \| ratio to hitch \| 0\.55, target 0\.50: missed \|/);
  assert.match(text, /- Left out: nginx stream, missing\./);
  assert.match(text, /- CPU: one/);
  assert.match(text, /<!-- sessions -->\n\| 98 % \|\n<!-- \/sessions -->/);
  assert.match(text, /<!-- admin -->\n\| admin \|\n<!-- \/admin -->/);
  assert.doesNotMatch(text, /NaN|undefined/);
});

test("an axis has a few round ticks and covers the largest value", () => {
  assert.deepEqual(axisTo(1.7, "").ticks, [0, 0.5, 1, 1.5, 2]);
  assert.equal(axisTo(9.2, "").max, 10);
  assert.ok(axisTo(0.0031, "").ticks.length <= 8);
});

test("charts are self-contained SVG with a dark palette", () => {
  const bars = barChart({
    ...{ title: "a < b", axis: axisTo(1.2, "ratio"), mark: 1, series: ["one", "two"] },
    groups: [{ title: "group", bars: [{ value: 0.5, min: 0.4, max: 0.6 }, undefined] }],
  });
  const lines = lineChart({
    ...{ title: "cost", y: axisTo(3, "ms"), places: ["1", "2"] },
    series: [{ title: "one", values: [1, 2.5] }, { title: "two", values: [undefined, 1] }],
  });
  for (const svg of [bars, lines]) {
    assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" [^]*<\/svg>\n$/);
    assert.match(svg, /prefers-color-scheme:dark/);
    assert.doesNotMatch(svg, /NaN|undefined|href|<script/);
  }
  assert.match(bars, /a &lt; b/);
  assert.equal(bars.match(/class="whisker"/g)?.length, 1);
});

const KNOWN = { workloads: ["requests", "start"], programs: ["bun", "hitch"] };

test("only a full run writes by default", () => {
  assert.equal(readOptions([], KNOWN).output, "docs");
  for (
    const option of [
      "--quick",
      "--only=start",
      "--programs=bun",
      "--prefix=none",
      "--before=x",
      "--admin",
    ]
  ) {
    assert.equal(readOptions([option], KNOWN).output, undefined);
  }
  assert.equal(readOptions(["--quick", "--output=x"], KNOWN).output, "x");
  assert.deepEqual(readOptions(["--only=start,requests"], KNOWN).only, ["start", "requests"]);
});

test("a mistake in the options is reported in one line", () => {
  for (const words of ["--only=x", "--programs=y", "--rounds=0", "--prefix=v3", "--nothing", "z"]) {
    assert.throws(() => readOptions([words], KNOWN), (error: Error) => {
      assert.match(error.message.split("\n")[0]!, /only|programs|rounds|prefix|nothing|z/);
      return true;
    });
  }
});

test("a program can be compared with another than the section's", () => {
  const results = new Results();
  for (const [program, value] of [["bun", 50], ["bun-admin", 51], ["hitch", 100]] as const) {
    results.at("handshake", program).add(1, { value });
  }
  const columns = [
    { name: "bun", title: "stud (Bun)" },
    { name: "bun-admin", title: "admin (Bun)", base: "bun" },
  ];
  const section = { rows: ROWS, columns, results, targetResults: [], latencyRate: 0 };
  const text = sectionText({ ...section, prefix: false, base: "hitch" });
  assert.match(text, /^ {2}stud \(Bun\) +50\.0 µs +0\.50 /m);
  assert.match(text, /^ {2}admin \(Bun\) +51\.0 µs +1\.02 /m);
});
