import process from "node:process";
import { FrameReader, MAX_FRAME_DOWN } from "./channel.ts";

/** What a helper process is made of. */
export interface Helper<WorkerCommand> {
  handle(command: WorkerCommand): void;
  /** A fault of ours, which must not end it. */
  internalError(error: unknown): void;
}

/**
 * Runs this process as a helper of the master: it obeys orders from standard input until that ends,
 * which means that the master is gone. It never returns by itself, and SIGTERM ends it whatever it
 * does.
 */
export function runHelper<WorkerCommand>(helper: Helper<WorkerCommand>): void {
  readCommands<WorkerCommand>((command) => helper.handle(command));
  // Ctrl-C reaches the whole foreground group; the master decides what it means.
  process.on("SIGINT", () => {});
  process.on("uncaughtException", (error) => helper.internalError(error));
  process.on("unhandledRejection", (error) => helper.internalError(error));
}

/** Takes orders from standard input; this process ends when that does. */
export function readCommands<WorkerCommand>(handle: (command: WorkerCommand) => void): void {
  const commands = new FrameReader(MAX_FRAME_DOWN, (command) => handle(command as WorkerCommand));
  process.stdin.on("data", (bytes: Uint8Array) => commands.push(bytes));
  process.stdin.on("end", () => process.exit(0));
  process.stdin.on("error", () => process.exit(1));
}
