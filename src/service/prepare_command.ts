import { UsageError } from "../base/errors.ts";
import { prepare, type PrepareContext, type Prepared } from "../master/prepare.ts";
import { lossOf, type Standing, standingOf } from "../system/standing.ts";
import type { Serving } from "./state.ts";

/**
 * Prepares a command's configuration. Problems and warnings about an option that was given in a file
 * begin with its place there. Throws a UsageError.
 */
export async function prepareCommand(context: PrepareContext, command: Serving): Promise<Prepared> {
  const placed = (problem: string) => withPlace(problem, command.places);
  try {
    const prepared = await prepare(context, command.config, command.kind === "test");
    return { ...prepared, warnings: prepared.warnings.map(placed) };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(error.problems.map(placed));
  }
}

/** Returns the standing of a prepared command. Throws a UsageError if it is less than the former. */
export function keptStanding(
  former: Standing | undefined,
  { config, given }: Serving,
  { privileges }: Prepared,
): Standing {
  const pems = [...config.pemFiles, ...config.frontends.flatMap(({ pemFiles }) => pemFiles)];
  const verifies = [...config.frontends, ...pems].some(({ clientVerify: { mode } = NO_VERIFY }) =>
    mode !== "none"
  );
  const standing = standingOf(privileges, verifies, given);
  const loss = former && lossOf(former, standing);
  if (loss === undefined) return standing;
  throw new UsageError(loss);
}

const NO_VERIFY = { mode: "none" } as const;

/** Replaces the option's name at the beginning by the place of its key. */
export function withPlace(problem: string, places: Serving["places"]): string {
  const [, name, hitchName, rest] =
    /^(?:--([\w-]+)|Invalid parameter '([\w-]+)'): (.*)$/s.exec(problem) ?? [];
  const origin = places.get(name ?? hitchName ?? "");
  return origin && rest !== undefined ? origin.message(rest) : problem;
}
