import process from "node:process";
import { UsageError } from "./errors.ts";
import type { Demo } from "./demo/demo.ts";
import { type OpenLog, openLog } from "./log.ts";
import { Master } from "./master/master.ts";
import { prepare } from "./master/prepare.ts";
import { parseCommandLine } from "./options/command_line.ts";
import type { Config } from "./options/config.ts";
import type { Runtime } from "./runtime/types.ts";
import { versionText } from "./version.ts";
import { WORKER_WORD } from "./worker/command_line.ts";
import { runWorker } from "./worker/worker.ts";

/**
 * The program: reads the command line and becomes the master, or, when the master started it, a
 * worker. Exit codes as stud's: 0 after a stop that was asked for, 1 after any error.
 */
export async function main(runtime: Runtime): Promise<void> {
  const argv = process.argv.slice(2);
  if (argv[0] === WORKER_WORD) return runWorker(runtime);
  try {
    await obey(runtime, argv);
  } catch (error) {
    const isMistake = error instanceof UsageError;
    const message = error instanceof Error ? error.message : String(error);
    console.error(
      isMistake ? `stud: ${message}` : `stud: internal error: ${message}; please report`,
    );
    process.exit(1);
  }
}

async function obey(runtime: Runtime, argv: readonly string[]): Promise<void> {
  const command = parseCommandLine(argv, runtime);
  switch (command.kind) {
    case "help":
    case "default-config":
      return console.log(command.text.trimEnd());
    case "version":
      return console.log(versionText(runtime));
    case "test": {
      const { warnings } = await prepare(runtime, command.config);
      for (const warning of [...command.warnings, ...warnings]) console.error(`stud: ${warning}`);
      return console.log("stud configuration looks ok.");
    }
    case "run":
      return await serve(runtime, command.config, command.warnings);
    case "demo": {
      const { demo } = await import("./demo/demo.ts");
      const { config, certificates, user, invitation } = await demo(command.config);
      await serve(runtime, config, command.warnings, { certificates, user });
      return console.log(invitation);
    }
  }
}

async function serve(
  runtime: Runtime,
  config: Config,
  warnings: readonly string[],
  extras: Partial<Pick<Demo, "certificates" | "user">> = {},
): Promise<void> {
  const log = openLog(config.logLevel, config.logFormat);
  const prepared = await prepare(runtime, config, extras.certificates);
  const master = new Master(runtime, prepared, log, extras.user);
  for (const message of [...warnings, ...prepared.warnings]) {
    log({ level: "warn", event: "warning", message, facts: {} });
  }
  stopOnSignal(master, log);
  // No fault of ours may end the parent of all connections.
  process.on("uncaughtException", (error) => {
    const message = `internal error: ${error.message}; please report it`;
    log({ level: "error", event: "internal-error", message, facts: { cause: `${error.stack}` } });
  });
  await master.start();
}

function stopOnSignal(master: Master, log: OpenLog): void {
  let isStopping = false;
  const stop = async (signal: string) => {
    if (isStopping) return;
    isStopping = true;
    log({
      level: "info",
      event: "stopping",
      message: `received ${signal}, stopping`,
      facts: { signal },
    });
    await master.stop();
    log({ level: "info", event: "stopped", message: "all workers have ended", facts: {} });
    await log.flush();
    process.exit(0);
  };
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => stop("SIGINT"));
}
