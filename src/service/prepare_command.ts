import { UsageError } from "../base/errors.ts";
import type { Origin } from "../options/assignment.ts";
import type { Places } from "../options/places.ts";
import { prepare, type PrepareContext, type Prepared } from "../master/prepare.ts";
import { type Essentials, essentialsOf, lossOf } from "../system/essentials.ts";
import type { Serving } from "./state.ts";

/**
 * Prepares a command's configuration. Problems and warnings about an option that was given in a file
 * begin with its place there. Throws a UsageError.
 */
export async function prepareCommand(context: PrepareContext, command: Serving): Promise<Prepared> {
  const { places } = command;
  try {
    const prepared = await prepare(context, command.config, command.kind === "test");
    return {
      ...prepared,
      warnings: prepared.warnings.map((each) => warningWithPlace(each, places)),
    };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(error.problems.map((each) => problemWithPlace(each, places)));
  }
}

/** Returns the essentials of a prepared command. Throws a UsageError if it lacks some of the former. */
export function keptEssentials(
  former: Essentials | undefined,
  { config, given }: Serving,
  { privileges }: Prepared,
): Essentials {
  const pems = [...config.pemFiles, ...config.frontends.flatMap(({ pemFiles }) => pemFiles)];
  const verifies = [...config.frontends, ...pems].some(({ clientVerify: { mode } = NO_VERIFY }) =>
    mode !== "none"
  );
  const essentials = essentialsOf(privileges, verifies, given);
  const loss = former && lossOf(former, essentials);
  if (loss === undefined) return essentials;
  throw new UsageError(loss);
}

const NO_VERIFY = { mode: "none" } as const;

/** Begins a problem with the place that named its option or its file, if that is in a file. */
export function problemWithPlace(problem: string, places: Places): string {
  const found = placeOf(problem, places);
  return found ? found.origin.message(found.rest) : problem;
}

/** The same for a warning. */
export function warningWithPlace(warning: string, places: Places): string {
  const found = placeOf(warning, places);
  return found ? `${found.origin.label}: ${found.rest}` : warning;
}

function placeOf(
  text: string,
  { options, files }: Places,
): { readonly origin: Origin; readonly rest: string } | undefined {
  const [, option, hitchOption, said = text] =
    /^(?:--([\w-]+): |Invalid parameter '([\w-]+)': |PEM file (?=\/))(.*)$/s.exec(text) ?? [];
  const [, path] = /^(\/.*?): /s.exec(said) ?? [];
  const origin = (path === undefined ? undefined : files.get(path)) ??
    options.get(option ?? hitchOption ?? "");
  return origin && { origin, rest: said };
}
