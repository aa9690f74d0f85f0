/**
 * The table of options. The command line, both configuration file grammars, `--help`,
 * `--default-config`, the man page and the README's table are generated from it; the types of the
 * settings, of `Config` and of the workers' settings are inferred from it. Its rows are in `rows/`.
 *
 * To add an option, write its row with its key in the `Config` and the processes that read it. The
 * compiler then names the key in `service/unread_settings.ts` until some code declares that it reads
 * it.
 */
import type { Dialect } from "../base/dialect.ts";
import { groups, type Option, type Place, type SettingsOf } from "./option.ts";
import { adminOptions } from "./rows/admin.ts";
import { blockOptions, certificateOptions } from "./rows/certificates.ts";
import { limitOptions } from "./rows/limits.ts";
import { compositeOptions } from "./rows/blocks.ts";
import { processOptions } from "./rows/process.ts";
import { sessionOptions } from "./rows/sessions.ts";
import { socketOptions } from "./rows/sockets.ts";
import { tlsOptions } from "./rows/tls.ts";

export const options = {
  ...compositeOptions,
  ...socketOptions,
  ...certificateOptions,
  ...tlsOptions,
  ...sessionOptions,
  ...limitOptions,
  ...adminOptions,
  ...processOptions,
  ...blockOptions,
} satisfies Record<string, Option>;

/** An option's key in the table. */
export type OptionName = keyof typeof options;

/** The value of each setting by its option's key. */
export type Settings = SettingsOf<typeof options>;

/** All options with their keys, in the order of `--help`. */
export const rows: readonly (readonly [OptionName, Option])[] =
  (Object.entries(options) as [OptionName, Option][]).sort(([, a], [, b]) =>
    groups.indexOf(a.group) - groups.indexOf(b.group)
  );

/** Returns the row of an option. */
export function optionOf(name: OptionName): Option {
  return options[name];
}

/** Returns an option's names in the dialect; the first is the one to show. */
export function namesOf(name: OptionName, dialect: Dialect): readonly [string, ...string[]] {
  return optionOf(name).names?.[dialect] ?? [name];
}

/** True if the option can be given in this place. */
export function isIn(option: Option, place: Place): boolean {
  return (option.in ?? ["line", "file"]).includes(place);
}

/** Returns all names that are allowed in a place, with their options. */
export function namesIn(place: Place, dialect: Dialect): ReadonlyMap<string, OptionName> {
  const known = rows.filter(([, option]) => isIn(option, place));
  return new Map(known.flatMap(([name]) => namesOf(name, dialect).map((given) => [given, name])));
}

/** Returns the settings if no option is given. */
export function defaultSettings(dialect: Dialect): Settings {
  const settings = rows.filter(([, option]) => option.parse).map(([name, option]) => {
    if (option.repeat) return [name, []];
    return [
      name,
      option.default === undefined ? undefined : option.parse!(option.default, dialect),
    ];
  });
  return Object.fromEntries(settings);
}
