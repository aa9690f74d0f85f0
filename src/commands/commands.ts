/** Runs the commands of the table in `options/subcommands.ts`. */
import type { Subcommand } from "../options/subcommand.ts";
import type { Given, SubcommandName } from "../options/subcommands.ts";

/** Each loads only its own code. */
const COMMANDS: { readonly [N in SubcommandName]: (command: Subcommand) => Promise<number> } = {
  status: async ({ given }) => (await import("./status.ts")).status(given as Given<"status">),
  top: async ({ given }) => (await import("./top/top.ts")).top(given as Given<"top">),
  reload: async ({ given }) => (await import("./reload.ts")).reload(given as Given<"reload">),
};

/** Runs a command; returns its exit code. Throws a UsageError, for which it is 2. */
export function runSubcommand(command: Subcommand): Promise<number> {
  return COMMANDS[command.name](command);
}
