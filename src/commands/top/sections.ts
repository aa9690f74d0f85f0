/** The tables of `stud top`. */
import { countText } from "../../base/count_text.ts";
import type { Status, WorkerStatus } from "../../status/status.ts";
import {
  bytesText,
  type Column,
  daysText,
  delayText,
  durationText,
  secondsBetween,
  shortCount,
  table,
} from "../format.ts";
import { plain } from "../plain.ts";
import { namesText } from "../status_text.ts";
import type { Rates } from "./rates.ts";
import { SORT_KEYS, type State } from "./state.ts";
import { type Line, line, type Style } from "./styled.ts";

export interface Model {
  /** The last one that arrived. */
  readonly status: Status;
  readonly rates: Rates;
  readonly state: State;
  /** Why there is no newer status, and for how long. */
  readonly away?: { readonly reason: string; readonly seconds: number };
}

/** A table whose rows can be left out. */
export interface Section {
  readonly heading: string;
  readonly rows: readonly Line[];
  /** Rows above those that are shown. */
  readonly scroll: number;
}

/** Returns the tables that have rows, the most important first. */
export function sections(model: Model): Section[] {
  return [workers(model), backends(model), certificates(model), failures(model)]
    .filter(({ rows }) => rows.length > 0);
}

function workers({ status, rates, state }: Model): Section {
  const key = SORT_KEYS[state.sort]!;
  const mark = isDescending(state) ? "v" : "^";
  const columns = SORT_KEYS.map((title): Column => ({
    title: title === key ? `${title}${mark}` : title,
    ...(title === "STATE" ? {} : { right: true }),
  }));
  const rows = sorted(status.workers, rates, state).map((worker) => [
    String(worker.slot),
    String(worker.pid),
    String(worker.generation),
    plain(worker.state),
    countText(worker.connections),
    known(rates.workers.get(worker.pid), shortRate),
    bytesText(worker.residentBytes),
    delayText(worker.eventLoopDelaySeconds),
  ]);
  const styles = sorted(status.workers, rates, state).map(({ state }) =>
    state === "serving" ? undefined : state === "silent" ? "error" : "warning"
  );
  return section(columns, rows, styles, state.scroll);
}

/** Numbers are sorted from the largest, except those that only identify a worker. */
function isDescending({ sort, isReversed }: State): boolean {
  return ["OPEN", "ACC/S", "MEMORY", "DELAY"].includes(SORT_KEYS[sort]!) !== isReversed;
}

/** Workers of equal rank stay in the order of their slots. */
export function sorted(
  workers: readonly WorkerStatus[],
  rates: Rates,
  state: State,
): readonly WorkerStatus[] {
  const valueOf = (worker: WorkerStatus) => {
    switch (SORT_KEYS[state.sort]) {
      case "PID":
        return worker.pid;
      case "GEN":
        return worker.generation;
      case "STATE":
        return worker.state;
      case "OPEN":
        return worker.connections;
      case "ACC/S":
        return rates.workers.get(worker.pid) ?? 0;
      case "MEMORY":
        return worker.residentBytes;
      case "DELAY":
        return worker.eventLoopDelaySeconds;
      default:
        return worker.slot;
    }
  };
  const sign = isDescending(state) ? -1 : 1;
  return workers.toSorted((a, b) => {
    const [left, right] = [valueOf(a), valueOf(b)];
    return left === right ? a.slot - b.slot : left < right ? -sign : sign;
  });
}

function backends({ status }: Model): Section {
  return section(
    [{ title: "BACKEND" }, { title: "STATE" }, { title: "SINCE", right: true }, {
      title: "ADDRESS",
    }],
    status.backends.map(({ state, since, service, address, cause }) => [
      plain(service),
      plain(state),
      since === undefined ? "-" : durationText(secondsBetween(since, status.time)),
      `${plain(address)}${state === "down" && cause ? `  ${plain(cause)}` : ""}`,
    ]),
    status.backends.map(({ state }) => state === "down" ? "error" : undefined),
  );
}

function certificates({ status }: Model): Section {
  const { listed } = status.certificates;
  return section(
    [{ title: "ENDS IN" }, { title: "KEY" }, { title: "CERTIFICATE" }],
    listed.map(({ daysLeft, key, names, place }) => [
      daysText(daysLeft),
      plain(key),
      `${namesText(names, 2)}  ${plain(place)}`,
    ]),
    listed.map(({ daysLeft }) => daysLeft < 0 ? "error" : undefined),
  );
}

function failures({ status }: Model): Section {
  return section(
    [{ title: "AGE", right: true }, { title: "CLIENT" }, { title: "FAILURE" }],
    status.failures.map(({ time, client, source, code, cause }) => [
      durationText(secondsBetween(time, status.time)),
      plain(client),
      `${plain(source)} ${plain(code)}: ${plain(cause)}`,
    ]),
  );
}

function section(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  styles: readonly (Style | undefined)[] = [],
  scroll = 0,
): Section {
  const [heading = "", ...lines] = table(columns, rows);
  return { heading, rows: lines.map((text, i) => line(text, styles[i])), scroll };
}

/** Returns the text, or `-` for a value that is not known. */
export function known(value: number | undefined, text: (value: number) => string): string {
  return value === undefined ? "-" : text(value);
}

/** Rates below ten have a decimal place. */
export function shortRate(rate: number): string {
  return rate > 0 && rate < 10 ? rate.toFixed(1) : shortCount(rate);
}
