/** What `stud top` shows in a terminal of some size. */
import { countText } from "../../base/count_text.ts";
import type { Status } from "../../status/status.ts";
import { bytesText, durationText, secondsBetween, timeText } from "../format.ts";
import { wrap } from "../../options/help.ts";
import { plain } from "../plain.ts";
import { lastReloadText, progressText } from "../reload_text.ts";
import { healthText } from "../status_text.ts";
import { known, type Model, type Section, sections, shortRate } from "./sections.ts";
import { type Line, line } from "./styled.ts";

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** Returns at most `rows` lines; what is wrong comes first, so that a small terminal shows it. */
export function view(model: Model, size: Size): Line[] {
  const { columns, rows } = size;
  if (model.state.showsHelp) return HELP.map((text) => line(text)).slice(0, rows);
  const head = [...header(model, columns), ...problems(model.status, size), ...rates(model)];
  const foot = rows >= 8 ? [line(KEYS, "dim")] : [];
  const room = rows - head.length - foot.length;
  const body = arranged(sections(model), Math.max(0, room));
  const blank = Array.from({ length: Math.max(0, room - body.length) }, () => line(""));
  return [...head, ...body, ...blank, ...foot].slice(0, rows);
}

const KEYS = "q quit  p pause  s sort  r reverse  up/down scroll  ? help";

const HELP = [
  "stud top",
  "",
  "  q, Ctrl-C     quit",
  "  p, space      pause, and continue",
  "  s, right      sort the workers by the next column",
  "  left          sort them by the previous column",
  "  r             reverse the order",
  "  up, down      scroll the workers",
  "  Ctrl-L        draw the screen again",
  "  ?             show or hide this help",
  "",
  "Rates are those between the last two updates. A - means that the build does not",
  "report it, or that it is not known yet.",
];

function header({ status, state, away }: Model, columns: number): Line[] {
  const { build, master, time, generations, health } = status;
  const up = durationText(secondsBetween(master.startedAt, time));
  const current = generations.find(({ isCurrent }) => isCurrent)?.number;
  const left =
    `stud ${plain(build.version)}  ${plain(build.runtime)}  pid ${master.pid}  up ${up}` +
    (current === undefined ? "" : `  generation ${current}`);
  const right = timeText(time);
  const space = columns - left.length - right.length;
  const title = space >= 2 ? left + " ".repeat(space) + right : left.padEnd(columns);
  const style = health === "well" ? "good" : hasError(status) ? "error" : "warning";
  return [
    line(title, "title"),
    [
      { text: healthText(status), style },
      ...(state.isPaused ? [{ text: "  PAUSED", style: "warning" } as const] : []),
    ],
    ...(away
      ? [line(`NO ANSWER for ${durationText(away.seconds)}: ${plain(away.reason)}`, "error")]
      : []),
  ];
}

function hasError({ problems }: Status): boolean {
  return problems.some(({ severity }) => severity === "error");
}

function problems({ problems }: Status, { columns, rows }: Size): Line[] {
  const most = Math.max(1, Math.floor(rows / 5));
  const lines: Line[] = [];
  for (const [i, { severity, text }] of problems.entries()) {
    const wrapped = wrap(`${plain(severity)}: ${plain(text)}`, Math.max(20, columns));
    const shown = wrapped.slice(0, Math.max(1, Math.min(3, most - lines.length - 1)));
    const isLast = i === problems.length - 1;
    if (i > 0 && lines.length + shown.length > (isLast ? most : most - 1)) {
      return [...lines, line(`and ${problems.length - i} more; see stud status`, "warning")];
    }
    // The end of a line of text that was cut says so.
    if (shown.length < wrapped.length) {
      shown.push(`${shown.pop()!.slice(0, Math.max(20, columns) - 2)} …`);
    }
    lines.push(...shown.map((each) => line(each, severity === "error" ? "error" : "warning")));
  }
  return lines;
}

function rates({ status, rates }: Model): Line[] {
  const open = status.frontends.reduce((sum, each) => sum + each.open, 0);
  const perSecond = (rate: number | undefined) => `${known(rate, shortRate)}/s`;
  const handshakes = rates.handshakes === undefined
    ? `${perSecond(rates.full)} full, ${perSecond(rates.resumed)} resumed`
    : `${perSecond(rates.handshakes)} full or resumed`;
  return [
    line(""),
    [
      { text: `Connections  ${countText(open)} open, ${perSecond(rates.accepted)} accepted, ` },
      {
        text: `${perSecond(rates.failures)} failed`,
        ...(rates.failures ? { style: "warning" as const } : {}),
      },
    ],
    line(
      `Handshakes   ${handshakes}, mean time ${known(rates.handshakeSeconds, millisecondsText)}, ` +
        `backend connect ${known(rates.connectSeconds, millisecondsText)}`,
    ),
    line(
      `Throughput   ${known(rates.received, bytesText)}/s from clients, ` +
        `${known(rates.sent, bytesText)}/s to clients`,
    ),
    reloads(status),
    line(""),
  ];
}

/** One in progress, which says more than the last result, or else that. */
function reloads({ reloads, time }: Status): Line {
  const { last, inProgress: [current] = [] } = reloads;
  if (current) return line(`Reload       ${progressText(current, time)}`, "warning");
  const style = last?.result === "failed" ? "warning" : undefined;
  return line(`Last reload  ${lastReloadText(reloads, time)}`, style);
}

function millisecondsText(seconds: number): string {
  return seconds < 1 ? `${Number((seconds * 1000).toPrecision(2))} ms` : durationText(seconds);
}

/** Gives each section, the most important first, its heading and one row, and then one row in turn. */
function arranged(sections: readonly Section[], room: number): Line[] {
  const whole = sections.reduce((sum, { rows }) => sum + rows.length + 2, -1);
  const gap = whole <= room ? [line("")] : [];
  const fitting = sections.slice(0, Math.floor(room / 2));
  const given = fitting.map(() => 1);
  let left = room - 2 * fitting.length;
  for (let isFull = false; left > 0 && !isFull;) {
    isFull = true;
    for (const [i, { rows }] of fitting.entries()) {
      if (left === 0 || given[i]! >= rows.length) continue;
      given[i]!++;
      left--;
      isFull = false;
    }
  }
  return fitting.flatMap(({ heading, rows, scroll }, i) => {
    const count = given[i]!;
    const from = Math.min(scroll, rows.length - count);
    const range = count < rows.length ? `  (${from + 1} to ${from + count} of ${rows.length})` : "";
    return [
      ...(i > 0 ? gap : []),
      line(heading + range, "heading"),
      ...rows.slice(from, from + count),
    ];
  });
}
