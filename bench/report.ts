/** Renders the results as text. No I/O: it runs on every runtime. */
import { type Cell, checkTarget, type Results, type Row, type TargetResult } from "./rows.ts";
import type { Target } from "./targets.ts";

/** A program in the report. */
export interface Column {
  readonly name: string;
  readonly title: string;
  /** The program that its ratios are to; absent: that of the section. */
  readonly base?: string;
  /** Describes its prefix if that is not a PROXY v2 header with the facts of the session. */
  readonly prefixNote?: string | undefined;
}

/** The results of one run with one kind of prefix. */
export interface Section {
  readonly prefix: boolean;
  readonly rows: readonly Row[];
  readonly columns: readonly Column[];
  readonly results: Results;
  readonly targetResults: readonly TargetResult[];
  /** Requests per second at which latency was measured; 0 without latency rows. */
  readonly latencyRate: number;
  readonly base: string;
}

/** How the report was made. */
export interface Provenance {
  readonly command: string;
  readonly date: string;
  readonly rounds: number;
  readonly machine: readonly string[];
  /** Omitted programs, each with the reason. */
  readonly missing: readonly string[];
  /** The page's part about sessions, which `npm run bench:sessions` measures. */
  readonly sessions: string;
  /** The page's figures of the admin endpoint, which whoever measures them writes. */
  readonly admin: string;
}

/** Checks all targets; they apply only without a prefix. */
export function checkTargets(
  targets: readonly Target[],
  results: Results,
  peers: readonly string[],
  base: string,
): TargetResult[] {
  return targets.map((target) => checkTarget(target, results, peers, base)).filter((v) =>
    v !== undefined
  );
}

/** Text for the terminal: one block per row, one line per program. */
export function sectionText(section: Section): string {
  const { rows, columns, results, targetResults } = section;
  const lines = [`== ${prefixText(section.prefix)}`];
  for (const row of rows) {
    const measured = columns.filter(({ name }) => results.find(row.name, name));
    if (measured.length === 0) continue;
    lines.push("", `${row.name}: ${rowText(row)}`);
    for (const { name, title, base = section.base } of measured) {
      const cell = results.find(row.name, name)!;
      const checked = targetResults.filter(({ target }) =>
        target.row === row.name && target.program === name
      );
      const texts = [figureText(cell, row, results, base), ...checked.map((v) => v.text)];
      lines.push(`  ${title.padEnd(14)}${texts.join("   ")}`.trimEnd());
    }
  }
  return lines.join("\n") + "\n";
}

function figureText(cell: Cell, row: Row, results: Results, base: string): string {
  if (cell.value === undefined) return cell.problem ?? "";
  const ratio = cell.ratioTo(results.find(row.name, base));
  const parts = [
    `${cell.value.toFixed(row.digits).padStart(8)} ${row.unit}`,
    ratio ? `${fixed(ratio.median)} (${fixed(ratio.min)}–${fixed(ratio.max)})` : "",
    cell.rate ? `${cell.rate.toFixed(0).padStart(6)}/s` : "",
    cell.busy ? `${(cell.busy * 100).toFixed(0).padStart(3)} % busy` : "",
  ];
  return parts.filter((part) => part !== "").join("   ");
}

/** Returns the text of performance.md; `plots` are the lines of Markdown that show them. */
export function markdown(
  sections: readonly Section[],
  provenance: Provenance,
  plots: readonly string[],
): string {
  return [
    "# Performance",
    "",
    "The CPU time that stud needs, compared with hitch, HAProxy and nginx on the same machine.",
    `\`${provenance.command}\` generated this page on ${provenance.date}; it takes about 15 minutes.`,
    "",
    ...plots,
    "",
    ...targetLines(sections.flatMap(({ targetResults }) => targetResults)),
    ...sections.flatMap(sectionLines),
    "## Returning clients",
    "",
    ...SESSIONS,
    "",
    "<!-- sessions -->",
    provenance.sessions,
    "<!-- /sessions -->",
    "",
    "## The admin endpoint",
    "",
    ...ADMIN,
    "",
    "<!-- admin -->",
    provenance.admin,
    "<!-- /admin -->",
    "",
    "## Method",
    "",
    ...METHOD.map((line) => `- ${line}`),
    ...sections.filter((each) => each.latencyRate > 0).map((each) =>
      `- Latency, ${prefixText(each.prefix)}: ${each.latencyRate} requests per second.`
    ),
    `- Rounds: ${provenance.rounds} (memory: 1), after one or more warm-up rounds.`,
    ...sections.filter((each) => each.prefix).flatMap((each) =>
      each.columns.filter((column) => column.prefixNote).map((column) =>
        `- PROXY header of ${column.title}: ${column.prefixNote}.`
      )
    ),
    ...provenance.missing.map((line) => `- Left out: ${line}.`),
    "",
    "## Machine",
    "",
    ...provenance.machine.map((line) => `- ${line}`),
    "",
  ].join("\n");
}

const SESSIONS = [
  "The share of handshakes that resume when 100 clients, each with its own address, return, and " +
  "the CPU time of their connections compared with the same connections with full handshakes, one " +
  "request each. TLS 1.3, all workers on one core, medians of eleven interleaved rounds, savings " +
  "computed per round. stud runs with its defaults: workers share their ticket keys on Node; on " +
  "Bun and Deno the kernel always routes a client to the same worker " +
  "([sessions.md](sessions.md)). `npm run bench:sessions` generates this table.",
];

const ADMIN = [
  "`npm run bench -- --quick --admin --rounds=11` measures each build with `--admin` off and on, in " +
  "turns, while `/metrics` is scraped once a second; the ratio is to the same build without it. " +
  "The CPU time includes that of the helper process and of the master.",
];

const METHOD = [
  "One worker each, on one core; load generator and backend (nginx) are on another. TLS 1.2 and " +
  "1.3 are enabled, every client offers only AES-128-GCM and X25519, the certificates are the " +
  "same.",
  "CPU time is the processor time of all processes of the proxy, kernel work included, by the " +
  "processes' own clocks (clock_getcpuclockid), divided by the operations that succeeded. Each " +
  "answer's status is checked, and the byte count of the large ones; failures are named, not " +
  "counted.",
  "The programs take turns in every round, in rotating order. Figures are medians of the rounds; " +
  "a ratio is to hitch in the same round, with the smallest and the largest in brackets.",
  "Operations per second are what this one load generator got out of the proxy. Where the proxy's " +
  "core was not busy (second line), the load generator was slower, and the proxy could do more.",
  "Full handshakes: h2load, 2,000 new connections a second, as many clients as connections, each " +
  "with one request and `Connection: close`. Resumed handshakes: h2load, 32 clients that " +
  "reconnect repeatedly; a trial run before reads the kind of handshake from the ServerHello of " +
  "every connection. X25519MLKEM768: a Node.js client, 32 connections at a time, compared with " +
  "X25519 by the same client; the peers' OpenSSL does not support it.",
  "Small requests: h2load on 100 connections; the initial handshakes are not counted. Downloads " +
  "and uploads: h2load, 8 connections with 64 MiB each.",
  "Latency: h2load, 100 connections at 70 % of the rate that hitch reached in small requests, the " +
  "same for every program; what waits behind a late answer is added (coordinated omission).",
  "Memory: RssAnon of all processes, 5,000 more connections that each had one answer, after 250.",
  "Start: from exec (taskset included, 1 ms) until a TCP connection is accepted, and until a " +
  "first request through TLS is answered; measured by attempts 1 ms apart.",
  "PROXY header: version 2 with the facts of the TLS session (HAProxy: send-proxy-v2-ssl with " +
  "cipher and authority; hitch: write-proxy-v2), since stud sends those.",
];

function targetLines(targetResults: readonly TargetResult[]): string[] {
  if (targetResults.length === 0) return [];
  const lines = targetResults.map(({ target, text }) => {
    const of = {
      "hitch": "ratio to hitch",
      "best peer": "ratio to the best peer",
      "figure": "figure",
    };
    return `| ${target.program} | ${target.row} | ${of[target.of]} | ${text} |`;
  });
  const met = targetResults.filter((result) => result.met).length;
  return [
    "## Targets",
    "",
    `${met} of ${targetResults.length} are met. For the others, [design.md](design.md) has the profiles and ` +
    `what was tried.`,
    "",
    "| build | row | of | result |",
    "|---|---|---|---|",
    ...lines,
    "",
  ];
}

function sectionLines(section: Section): string[] {
  const cpu = section.rows.filter((row) => row.operation);
  const other = section.rows.filter((row) => !row.operation);
  const rates = (cell: Cell) =>
    cell.rate ? `${cell.rate.toFixed(0)}<br>${((cell.busy ?? 0) * 100).toFixed(0)} % busy` : "";
  const figures = (cell: Cell, row: Row) => {
    if (cell.value === undefined) return cell.problem ?? "";
    const ratio = cell.ratioTo(section.results.find(row.name, section.base));
    const text = cell.value.toFixed(row.digits);
    if (!ratio) return text;
    return `${text}<br>**${fixed(ratio.median)}** (${fixed(ratio.min)}–${fixed(ratio.max)})`;
  };
  const title = prefixText(section.prefix);
  return [
    ...table(`## CPU time, ${title}`, cpu, section, figures),
    ...table(`## Operations per second, ${title}`, cpu, section, rates, rateText),
    ...table(`## Latency, memory, start, ${title}`, other, section, figures),
  ];
}

/** A table in Markdown; no lines if no row was measured. */
function table(
  heading: string,
  rows: readonly Row[],
  { columns, results }: Section,
  text: (cell: Cell, row: Row) => string,
  label: (row: Row) => string = rowText,
): string[] {
  const measured = rows.filter((row) => columns.some(({ name }) => results.find(row.name, name)));
  if (measured.length === 0) return [];
  const lines = measured.map((row) => {
    const cells = columns.map(({ name }) => {
      const cell = results.find(row.name, name);
      return cell ? text(cell, row) : "";
    });
    return `| ${label(row)} (\`${row.name}\`) | ${cells.join(" | ")} |`;
  });
  return [
    heading,
    "",
    `| | ${columns.map(({ title }) => title).join(" | ")} |`,
    `|---|${"---|".repeat(columns.length)}`,
    ...lines,
    "",
  ];
}

function rowText(row: Row): string {
  return `${row.title}, ${row.unit}${row.operation ? ` for each ${row.operation}` : ""}`;
}

function rateText(row: Row): string {
  return `${row.title}, ${row.operation === "MiB" ? "MiB" : `${row.operation}s`}`;
}

function prefixText(prefix: boolean): string {
  return prefix ? "with a PROXY header" : "no prefix";
}

function fixed(ratio: number): string {
  return ratio.toFixed(2);
}
