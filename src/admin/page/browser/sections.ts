/** The sections below the charts, each made once and then shown anew with each status document. */
import type {
  BackendStatus,
  CertificateStatus,
  FailureStatus,
  FrontendStatus,
  GenerationStatus,
  ReloadInProgress,
  Status,
  WorkerStatus,
} from "../../../status/status.ts";
import { byId, type Cell, describe, element, fill, setText, type Tone } from "./dom.ts";
import {
  amount,
  bytes,
  count,
  day,
  daysLeft,
  duration,
  latency,
  rate,
  time,
  UNKNOWN,
} from "./format.ts";
import { type Cause, CONNECTS, type History } from "./history.ts";
import { Rates } from "./rates.ts";
import { type Column, makeTable } from "./table.ts";

/** Shows one document; `history` ends with it. */
export type Section = (status: Status, history: History) => void;

/** All sections below the charts. */
export function makeSections(): Section[] {
  return [failures(), ends(), workers(), certificates(), reloads(), build(), capabilities()];
}

function failures(): Section {
  const causes = makeTable<Cause>(byId("causes"), {
    limit: 10,
    what: "causes",
    empty: "No connection has failed.",
    columns: [
      { title: "Cause", cell: ({ code }) => ({ text: code }) },
      { title: "Source", cell: ({ source }) => ({ text: source }) },
      number("Recent", ({ recent }) => ({ text: count(recent) })),
      number("Total", ({ total }) => ({ text: count(total) })),
    ],
  });
  const last = makeTable<FailureStatus>(byId("failures"), {
    limit: 8,
    what: "failures",
    empty: "None. Clients of a backend that is down are counted, not listed.",
    columns: [
      { title: "When and who", cell: ({ time, client }) => timeCell(time, client) },
      {
        title: "Cause",
        cell: ({ source, cause, code }) => ({ text: cause, note: `${source}, ${code}` }),
      },
    ],
  });
  return (status, history) => {
    causes(history.causes());
    last(status.failures);
  };
}

function ends(): Section {
  const frontends = makeTable<FrontendStatus>(byId("frontends"), {
    limit: 10,
    what: "frontends",
    empty: "No frontends.",
    columns: [
      {
        title: "Frontend",
        cell: ({ name, addresses }) => ({ text: name, note: otherAddresses(name, addresses) }),
      },
      number("Open", ({ open }) => ({ text: count(open) })),
      number("Accepted", ({ accepted }) => ({ text: count(accepted) })),
      number("Rate", (frontend) => ({ text: rate(rates.of(frontend.name)) })),
    ],
  });
  const rates = new Rates();
  const tones = { up: "good", down: "error", unknown: "neutral" } as const;
  const backends = makeTable<BackendStatus>(byId("backends"), {
    limit: 10,
    what: "backends",
    empty: "No backends.",
    columns: [
      { title: "Backend", cell: ({ service, address }) => ({ text: service, note: address }) },
      {
        title: "State",
        cell: ({ state, cause }) => ({ text: capital(state), tone: tones[state], note: cause }),
      },
      { title: "Since", cell: ({ since }) => timeCell(since, since && age(since, now)) },
      number("Recent failed connects", ({ service }) => ({
        text: count(past?.recent(CONNECTS, { service, result: "failed" })),
      })),
    ],
  });
  let now = "";
  let past: History | undefined;
  return (status, history) => {
    now = status.time;
    past = history;
    rates.add(status.time, status.frontends.map(({ name, accepted }) => [name, accepted]));
    frontends(status.frontends);
    // Those that are down come first.
    backends([...status.backends].sort((a, b) => order(a.state) - order(b.state)));
  };
}

/** Where a frontend listens, if that says more than its name. */
function otherAddresses(name: string, addresses: readonly string[]): string {
  return addresses.filter((address) => address !== name).join(", ");
}

function order(state: BackendStatus["state"]): number {
  return ["down", "unknown", "up"].indexOf(state);
}

function workers(): Section {
  const tones: Record<WorkerStatus["state"], Tone> = {
    serving: "good",
    starting: "neutral",
    draining: "neutral",
    silent: "error",
    exited: "error",
  };
  const show = makeTable<WorkerStatus>(byId("workers"), {
    limit: 16,
    what: "workers",
    empty: "No workers.",
    columns: [
      { title: "Worker", cell: ({ slot }) => ({ text: String(slot) }) },
      number("Pid", ({ pid }) => ({ text: String(pid) })),
      { title: "State", cell: ({ state }) => ({ text: capital(state), tone: tones[state] }) },
      number("Generation", ({ generation }) => ({ text: String(generation) })),
      number("Connections", ({ connections }) => ({ text: count(connections) })),
      number("Accepted", ({ accepted }) => ({ text: count(accepted) })),
      number("Rate", ({ pid }) => ({ text: rate(rates.of(pid)) })),
      number("Memory", ({ residentBytes }) => ({ text: bytes(residentBytes) })),
      number("Event-loop delay", (worker) => ({ text: latency(worker.eventLoopDelaySeconds) })),
      { title: "Started", cell: ({ startedAt }) => timeCell(startedAt) },
    ],
  });
  const rates = new Rates();
  return ({ time, workers }) => {
    rates.add(time, workers.map(({ pid, accepted }) => [pid, accepted]));
    // Those that do not serve come first: only some of many are shown.
    const isWrong = ({ state }: WorkerStatus) => tones[state] === "error" ? 0 : 1;
    show([...workers].sort((a, b) => isWrong(a) - isWrong(b)));
    const parts = (Object.keys(tones) as WorkerStatus["state"][]).map((state) => {
      const all = workers.filter((worker) => worker.state === state);
      return all.length === 0 ? "" : `${count(all.length)} ${state}`;
    });
    setText(byId("worker-states"), parts.filter(Boolean).join(", "));
  };
}

/** Names of a certificate that are shown; the others are counted. */
const SHOWN_NAMES = 3;
function certificates(): Section {
  const show = makeTable<CertificateStatus>(byId("certificates"), {
    limit: 10,
    what: "certificates",
    empty: "No certificates.",
    columns: [
      {
        title: "Names",
        cell: ({ names, place }) => ({
          text: namesText(names),
          title: names.join(", "),
          note: place,
        }),
      },
      { title: "Left", cell: (certificate) => certificateLeft(certificate, limit) },
      { title: "Ends", cell: ({ notAfter }) => ({ text: day(notAfter), iso: notAfter }) },
      { title: "Frontend", cell: ({ frontend }) => ({ text: frontend ?? "all" }) },
      { title: "Key", cell: ({ key }) => ({ text: key }) },
      { title: "Issuer", cell: ({ issuer }) => ({ text: issuer }) },
      {
        title: "OCSP staple",
        cell: ({ stapleAgeSeconds: age }) => ({
          text: age === undefined ? "none" : `${duration(age)} old`,
        }),
      },
    ],
  });
  let limit = 0;
  return ({ certificates: { listed, total, warningDays } }) => {
    limit = warningDays ?? 0;
    show(listed, total);
    setText(byId("certificate-count"), amount(total, "certificate"));
  };
}

function namesText(names: readonly string[]): string {
  const more = names.length - SHOWN_NAMES;
  const shown = names.slice(0, SHOWN_NAMES).join(", ") || "no names";
  return more > 0 ? `${shown} and ${count(more)} more` : shown;
}

function certificateLeft(certificate: CertificateStatus, limit: number): Cell {
  const { daysLeft: days, notBefore } = certificate;
  if (Date.parse(notBefore) > Date.now()) return { text: "not valid yet", tone: "error" };
  const tone = days < 0 ? "error" : days < limit ? "warning" : "good";
  return { text: daysLeft(days), tone };
}

const RELOAD_TONES = { succeeded: "good", failed: "error", waiting: "neutral" } as const;

function reloads(): Section {
  const generations = makeTable<GenerationStatus>(byId("generations"), {
    limit: 10,
    what: "generations",
    empty: "No generations.",
    columns: [
      {
        title: "Generation",
        cell: (it) => ({ text: String(it.number), note: it.isCurrent ? "current" : "draining" }),
      },
      number("Workers", ({ workers }) => ({ text: count(workers) })),
      number("Connections", ({ connections }) => ({ text: count(connections) })),
    ],
  });
  return ({ time, reloads, generations: all }) => {
    const { last, inProgress = [] } = reloads;
    const result: Cell = last
      ? { text: capital(last.result), tone: RELOAD_TONES[last.result] }
      : { text: "None since the start" };
    const details: [string, Cell][] = last
      ? [
        ["Cause", { text: last.cause }],
        ["Finished", timeCell(last.finishedAt, age(last.finishedAt, time))],
        ["Took", { text: latency(last.seconds) }],
      ]
      : [];
    describe(byId("reloads"), [
      ...inProgress.map((reload): [string, Cell] => ["In progress", progressCell(reload, time)]),
      ["Last reload", result],
      ...details,
      ["Succeeded", { text: count(reloads.succeeded) }],
      ["Failed", { text: count(reloads.failed) }],
    ]);
    list(byId("reload-problems"), last?.problems ?? []);
    generations(all);
  };
}

function progressCell(reload: ReloadInProgress, now: string): Cell {
  const { state, cause, since, reason, waitsForRoom } = reload;
  return {
    text: capital(state),
    tone: waitsForRoom ? "warning" : "neutral",
    note: `${cause}, ${age(since, now)}${reason ? `; ${reason}` : ""}`,
  };
}

function build(): Section {
  return (status) => {
    const { build, master, configuration, log, tickets } = status;
    describe(byId("build"), [
      ["Version", { text: `stud ${build.version}` }],
      ["Runtime", { text: build.runtime }],
      ["TLS library", { text: build.tls }],
      ["Master", { text: `pid ${master.pid}, ${bytes(master.residentBytes)}` }],
      ["Its event-loop delay", { text: latency(master.eventLoopDelaySeconds) }],
      ["Started", timeCell(master.startedAt, age(master.startedAt, status.time))],
    ]);
    describe(byId("configuration"), [
      ["Dialect", { text: configuration.dialect }],
      ["In service since", timeCell(configuration.loadedAt)],
      ...configuration.files.map(({ path, changedAt }): [string, Cell] => [
        "File",
        { text: path, note: `changed ${time(changedAt)}`, title: changedAt },
      ]),
      ["Log level", { text: String(log.level) }],
      ["Log lines dropped", {
        text: count(log.droppedLines),
        tone: log.droppedLines > 0 ? "warning" : undefined,
      }],
      ["Ticket key", {
        text: tickets
          ? `${duration(tickets.keyAgeSeconds)} old, ${tickets.source}`
          : "made by the TLS library",
      }],
    ]);
  };
}

function capabilities(): Section {
  const show = makeTable<readonly [string, unknown]>(byId("capabilities"), {
    limit: 100,
    what: "capabilities",
    empty: "None.",
    columns: [
      { title: "Capability", cell: ([name]) => ({ text: name }) },
      { title: "Value", cell: ([, value]) => ({ text: valueText(value) }) },
    ],
  });
  return ({ build }) => show(Object.entries(build.capabilities));
}

function valueText(value: unknown): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(valueText).join(", ") || "none";
  return typeof value === "string" ? value : JSON.stringify(value) ?? UNKNOWN;
}

/** Shows lines of text as a list, which is hidden if there are none. */
export function list(parent: HTMLElement, lines: readonly string[]): void {
  parent.hidden = lines.length === 0;
  fill(parent, lines, () => element("li"), setText);
}

function number<T>(title: string, cell: (item: T) => Cell): Column<T> {
  return { title, cell, isNumber: true };
}

function timeCell(iso: string | undefined, note?: string): Cell {
  return iso === undefined ? { text: UNKNOWN } : { text: time(iso), iso, note };
}

/** How long before another time it was. */
function age(iso: string, now: string): string {
  return `${duration((Date.parse(now) - Date.parse(iso)) / 1000)} ago`;
}

/** With a capital letter. */
export function capital(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}
