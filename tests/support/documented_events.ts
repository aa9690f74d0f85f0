/** The log events as docs/events.md describes them, for a comparison with what is logged. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FIELDS } from "../../src/access_log/record.ts";
import type { LogLine } from "./stud.ts";
import { root } from "./target.ts";

interface Documented {
  readonly levels: readonly string[];
  readonly members: ReadonlySet<string>;
  /** Members that are in every line of the event. */
  readonly required: readonly string[];
}

/** Members of every line. */
const COMMON = ["time", "level", "master", "pid", "event", "message", "worker"];
/** In parentheses. */
const OPTIONAL = /\(([^)]*)\)/g;
const NAME = /`(\w+)`/g;

/** Returns the events of the page by name. */
export function documentedEvents(): ReadonlyMap<string, Documented> {
  const page = readFileSync(join(root, "docs/events.md"), "utf8");
  const rows = page.split("\n## Silencing")[0]!.split("\n").flatMap((line) => {
    const cells = line.split(/(?<!\\) \| /);
    const name = /^\| `([a-z-]+)`/.exec(cells[0]!)?.[1];
    return name === undefined || cells.length < 3 ? [] : [[name, cells] as const];
  });
  return new Map(rows.map(([name, cells]) => {
    const members = cells[3] ?? "";
    return [name, {
      levels: cells[1]!.trim().split(", "),
      members: new Set(names(members)),
      required: names(members.replaceAll(OPTIONAL, "").replaceAll(/: the event's name/g, "")),
    }];
  }));
}

function names(text: string): string[] {
  return [...text.matchAll(NAME)].map(([, name]) => name!);
}

/** Returns what lines have that the page does not say, one text for each kind. */
export function undocumented(lines: readonly LogLine[]): string[] {
  const events = documentedEvents();
  const found = lines.flatMap((line) => {
    const { event, level } = line;
    const known = events.get(event);
    if (!known) return [event];
    const { levels, members, required } = known;
    const isLevel = levels.includes(level) || levels.includes("as the event");
    // Those of the access log.
    const others = /^connection-(established|closed)$/.test(event) ? FIELDS : [];
    return [
      ...(isLevel ? [] : [`${event} ${level}`]),
      ...Object.keys(line)
        .filter((name) => ![...COMMON, "dropped", ...others].includes(name) && !members.has(name))
        .map((name) => `${event}.${name}`),
      ...required.filter((name) => !(name in line)).map((name) => `${event} without ${name}`),
    ];
  });
  return [...new Set(found)];
}
