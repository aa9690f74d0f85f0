import process from "node:process";
import { surviveFaults } from "../base/survive_faults.ts";
import { FrameReader, MAX_FRAME_DOWN } from "./channel.ts";
import { dieBeforeMaster } from "../system/oom_score.ts";
import type { FrameWriter } from "./frame_writer.ts";

/** Handles commands from the master, and the end of the channel. */
export interface CommandHandler<Command> {
  handle(command: Command): void;
  /** An internal error, which must not end the process. */
  internalError(error: unknown): void;
  /** Standard input violates the control protocol: no further command can be read. */
  unreadable(error: unknown): void;
  /** The master has exited. */
  ended(): void;
}

/** A helper process's command handler and event writer. */
export interface Helper<Command> extends Pick<CommandHandler<Command>, "handle" | "internalError"> {
  readonly events: FrameWriter;
}

/**
 * Runs this process as a helper of the master: it handles commands from standard input until that
 * ends, which means that the master has exited. The master kills a helper that it no longer needs.
 */
export function runHelper<Command>(helper: Helper<Command>): void {
  dieBeforeMaster();
  readHelperCommands(helper);
  // Ctrl-C and service managers signal all processes; the master handles it.
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => {});
  surviveFaults((error) => helper.internalError(error));
}

/** Handles a helper's commands from standard input; the process exits when that ends. */
export function readHelperCommands<Command>(helper: Helper<Command>): void {
  readCommands<Command>({
    handle: (command) => helper.handle(command),
    internalError: (error) => helper.internalError(error),
    unreadable(error) {
      helper.internalError(error);
      // The master starts another one.
      helper.events.flush(() => process.exit(1));
    },
    ended: () => process.exit(0),
  });
}

/** Reads commands from standard input. */
export function readCommands<Command>(handler: CommandHandler<Command>): void {
  const commands = new FrameReader<Command>(MAX_FRAME_DOWN, {
    // The master is trusted.
    parse: (value) => value as Command,
    handle: (command) => handler.handle(command),
    internalError: (error) => handler.internalError(error),
  });
  process.stdin.on("data", (bytes: Uint8Array) => {
    try {
      commands.push(bytes);
    } catch (error) {
      handler.unreadable(error);
    }
  });
  process.stdin.on("end", () => handler.ended());
  process.stdin.on("error", () => handler.ended());
}
