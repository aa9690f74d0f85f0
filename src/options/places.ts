/** Where options and files were named, for errors that are found after parsing. */
import type { Origin } from "./assignment.ts";
import { pemValues } from "./blocks.ts";
import type { Collected } from "./collect.ts";
import type { Dialect } from "../base/dialect.ts";
import { namesOf, type OptionName, optionOf } from "./table.ts";

/** Places in configuration files only: an error names the command line's options itself. */
export interface Places {
  /** By the option's name that errors show; only options with one place. */
  readonly options: ReadonlyMap<string, Origin>;
  /** By absolute path: the first place that names the file. */
  readonly files: ReadonlyMap<string, Origin>;
}

/** Returns the places of a configuration's options and files. */
export function placesOf(
  collected: Collected,
  dialect: Dialect,
  absolute: (path: string) => string,
): Places {
  return { options: optionPlaces(collected, dialect), files: filePlaces(collected, absolute) };
}

function optionPlaces(
  { settings, origins, blocks }: Collected,
  dialect: Dialect,
): ReadonlyMap<string, Origin> {
  const inBlocks = new Set([...blocks.values()].flatMap(({ origins }) => [...origins.keys()]));
  const single = [...origins].filter(([name, origin]) => {
    const value = settings[name as keyof typeof settings];
    const isRepeated = optionOf(name).repeat && Array.isArray(value) && value.length > 1;
    return isInFile(origin) && !inBlocks.has(name) && !isRepeated;
  });
  return new Map(single.map(([name, origin]) => [namesOf(name, dialect)[0], origin]));
}

function filePlaces(
  { settings, origins, blocks }: Collected,
  absolute: (path: string) => string,
): ReadonlyMap<string, Origin> {
  const found = new Map<string, Origin>();
  const add = (path: unknown, origin: Origin | undefined) => {
    if (typeof path !== "string" || !origin || !isInFile(origin)) return;
    const full = absolute(path);
    if (!found.has(full)) found.set(full, origin);
  };
  const addAll = (values: object, own: ReadonlyMap<OptionName, Origin>) => {
    for (const [name, origin] of own) {
      if (optionOf(name).path) add((values as Record<string, unknown>)[name], origin);
    }
  };
  for (const frontend of settings.frontend) {
    addAll(frontend.settings, blocks.get(frontend)!.origins);
  }
  for (const pem of pemValues(settings)) {
    const { origin, origins } = blocks.get(pem)!;
    addAll(pem, origins);
    add(pem.cert, origin);
  }
  addAll(settings, origins);
  return found;
}

function isInFile({ source }: Origin): boolean {
  return source.kind === "file";
}
