/** The page that `stud status` prints: what is wrong comes first. Lines fit in 80 columns. */
import { countText } from "../base/count_text.ts";
import { wrap } from "../options/help.ts";
import type { CertificateStatus, Status } from "../status/status.ts";
import {
  bytesText,
  type Column,
  countOf,
  daysText,
  delayText,
  durationText,
  secondsBetween,
  table,
  timeText,
} from "./format.ts";
import { plain } from "./plain.ts";
import { lastReloadText, progressText } from "./reload_text.ts";

const WIDTH = 80;
/** Certificates that are listed; `--json` has more. */
const MAX_CERTIFICATES = 10;
const MAX_NAMES = 3;
const MAX_FAILURES = 5;

/** Returns the page, which ends with a newline. */
export function statusText(status: Status): string {
  const sections: readonly (readonly string[])[] = [
    summary(status),
    problems(status),
    service(status),
    frontends(status),
    backends(status),
    workers(status),
    certificates(status),
    failures(status),
  ];
  return `${
    sections.filter((lines) => lines.length > 0).map((lines) => lines.join("\n")).join("\n\n")
  }\n`;
}

/** Returns `stud is degraded: 1 error, 2 warnings`. */
export function healthText({ health, problems, ready }: Status): string {
  const count = (wanted: string) => problems.filter(({ severity }) => severity === wanted).length;
  const counts = (["error", "warning"] as const)
    .filter((severity) => count(severity) > 0)
    .map((severity) => countOf(count(severity), severity));
  const state = plain(health) + (ready.isReady || health === "draining" ? "" : ", not ready");
  return `stud is ${state}${counts.length > 0 ? `: ${counts.join(", ")}` : ""}`;
}

function summary(status: Status): string[] {
  const { build, master, time, ready } = status;
  const up = durationText(secondsBetween(master.startedAt, time));
  return [
    healthText(status),
    ...(ready.isReady || !ready.reason ? [] : wrapped(`not ready: ${plain(ready.reason)}`, "  ")),
    ...wrapped(
      `stud ${plain(build.version)} on ${plain(build.runtime)} with ${plain(build.tls)}, ` +
        `process ${master.pid}, up ${up}`,
      "",
    ),
  ];
}

function problems({ problems }: Status): string[] {
  if (problems.length === 0) return [];
  return [
    "Problems",
    ...problems.flatMap(({ severity, code, text }) =>
      wrapped(`${plain(severity)} ${plain(code)}: ${plain(text)}`, "  ", "    ")
    ),
  ];
}

function service(status: Status): string[] {
  const { configuration: { files, loadedAt }, generations, reloads, time, log, tickets } = status;
  const sources = files.length === 0
    ? "the command line only"
    : files.map(({ path }) => plain(path)).join(", ");
  const older = generations.filter(({ isCurrent }) => !isCurrent);
  const draining = older.reduce((sum, { connections }) => sum + connections, 0);
  const current = generations.find(({ isCurrent }) => isCurrent);
  return [
    ...fact("Configuration", sources),
    ...fact(
      "In use since",
      `${timeText(loadedAt)} (${durationText(secondsBetween(loadedAt, time))})` +
        (current ? `, generation ${current.number}` : ""),
    ),
    ...(older.length > 0
      ? fact(
        "Draining",
        `${countOf(older.length, "older generation")} with ${countOf(draining, "connection")}`,
      )
      : []),
    ...(reloads.inProgress ?? []).flatMap((reload) => fact("Reload", progressText(reload, time))),
    ...fact("Last reload", lastReloadText(reloads, time)),
    ...(reloads.last?.problems ?? []).flatMap((problem) => wrapped(plain(problem), INDENT)),
    ...fact(
      "Reloads",
      `${countText(reloads.succeeded)} succeeded, ${countText(reloads.failed)} failed`,
    ),
    ...(tickets
      ? fact("Ticket keys", `${durationText(tickets.keyAgeSeconds)} old, ${plain(tickets.source)}`)
      : []),
    ...fact("Log level", `${log.level}, ${countOf(log.droppedLines, "line")} dropped`),
  ];
}

function frontends({ frontends }: Status): string[] {
  const columns: readonly Column[] = [
    { title: "OPEN", right: true },
    { title: "ACCEPTED", right: true },
    { title: "ADDRESS" },
  ];
  return section(
    "Frontends",
    columns,
    frontends.map(({ name, addresses, open, accepted }) => [
      countText(open),
      countText(accepted),
      plain(frontendText(name, addresses)),
    ]),
  );
}

/** Returns the name, and where it listens if that says more. */
function frontendText(name: string, addresses: readonly string[]): string {
  const others = addresses.filter((address) => address !== name);
  return others.length === 0 ? name : `${name} (${others.join(", ")})`;
}

function backends({ backends, time }: Status): string[] {
  const lines = section(
    "Backends",
    [{ title: "STATE" }, { title: "SINCE" }, { title: "SERVICE" }, { title: "ADDRESS" }],
    backends.map(({ service, address, state, since }) => [
      plain(state),
      since === undefined ? "-" : durationText(secondsBetween(since, time)),
      plain(service),
      plain(address),
    ]),
  );
  const causes = backends.flatMap(({ service, state, cause }) =>
    state === "down" && cause ? wrapped(`${plain(service)}: ${plain(cause)}`, "  ", "    ") : []
  );
  return [...lines, ...causes];
}

function workers({ workers }: Status): string[] {
  return section(
    "Workers",
    [
      ...["SLOT", "PID", "GENERATION"].map((title): Column => ({ title, right: true })),
      { title: "STATE" },
      ...["OPEN", "ACCEPTED", "MEMORY", "DELAY"].map((title): Column => ({ title, right: true })),
    ],
    workers.map((worker) => [
      String(worker.slot),
      String(worker.pid),
      String(worker.generation),
      plain(worker.state),
      countText(worker.connections),
      countText(worker.accepted),
      bytesText(worker.residentBytes),
      delayText(worker.eventLoopDelaySeconds),
    ]),
  );
}

function certificates({ certificates: { total, listed } }: Status): string[] {
  if (listed.length === 0) return [];
  const more = total - Math.min(listed.length, MAX_CERTIFICATES);
  return [
    `Certificates (${countText(total)}, those that end first come first)`,
    ...listed.slice(0, MAX_CERTIFICATES).flatMap(certificate),
    ...(more > 0 ? [`  and ${countText(more)} more`] : []),
  ];
}

function certificate({ daysLeft, names, place, key, frontend }: CertificateStatus): string[] {
  const days = daysText(daysLeft);
  const head = (daysLeft < 0 ? "ended" : days).padEnd(8);
  return wrapped(
    `${daysLeft < 0 ? `${days}; ` : ""}${namesText(names)}; ${plain(key)}; ${plain(place)}` +
      (frontend === undefined ? "" : `; only ${plain(frontend)}`),
    `  ${head}  `,
    " ".repeat(12),
  );
}

/** Returns `a.example, b.example and 3 more`. */
export function namesText(names: readonly string[], most = MAX_NAMES): string {
  if (names.length === 0) return "no name";
  const shown = names.slice(0, most).map(plain).join(", ");
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

function failures({ failures, time }: Status): string[] {
  if (failures.length === 0) return [];
  return [
    "Last failed connections",
    ...failures.slice(0, MAX_FAILURES).flatMap((failure) =>
      wrapped(
        `${durationText(secondsBetween(failure.time, time))} ago, ${plain(failure.client)}: ` +
          `${plain(failure.source)} ${plain(failure.code)}: ${plain(failure.cause)}`,
        "  ",
        "    ",
      )
    ),
  ];
}

function section(
  title: string,
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string[] {
  return rows.length === 0 ? [] : [title, ...table(columns, rows)];
}

const INDENT = " ".repeat(16);

function fact(name: string, text: string): string[] {
  return wrapped(text, name.padEnd(INDENT.length), INDENT);
}

/** Wraps a text; the first line begins with `first`, the others with `next`. */
function wrapped(text: string, first: string, next = first): string[] {
  const [line = "", ...others] = wrap(text, WIDTH - Math.max(first.length, next.length));
  return [`${first}${line}`, ...others.map((line) => `${next}${line}`)];
}
