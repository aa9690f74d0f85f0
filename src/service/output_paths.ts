/** Checks the paths that a start writes to, without creating anything: for `--test`. */
import { accessSync, closeSync, constants, lstatSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { errorText } from "../base/error_text.ts";
import type { ListenAddress, Reads } from "../options/config.ts";
import { contentProblem } from "../system/pid_file.ts";

type OutputSettings = Reads<
  "accessLog.output" | "admin.address" | "frontends" | "listenReport" | "log.file" | "pidFile"
>;

/** Returns one line for each path that a start could not use. */
export function outputProblems(
  { accessLog, admin, frontends, listenReport, log, pidFile }: OutputSettings,
): {
  /** hitch has an exit code for this one. */
  readonly log: string[];
  readonly others: string[];
} {
  const problems = (option: string, path: string, fault: (path: string) => string | undefined) => {
    const reason = path === "" ? undefined : fault(path);
    return reason === undefined
      ? []
      : [`--${option}: cannot write ${path}: ${reason}; choose another path`];
  };
  const isPath = accessLog.output.startsWith("/");
  const accessPath = isPath ? accessLog.output : "";
  const files = (addresses: readonly ListenAddress[]) =>
    addresses.flatMap((address) =>
      "path" in address && !address.path.startsWith("@") ? [address.path] : []
    );
  const unix = files(frontends.map(({ listen }) => listen));
  const adminFiles = files(admin.address ? [admin.address] : []);
  return {
    log: problems("log-filename", log.file, (path) => fileFault(path, APPEND, () => undefined)),
    others: [
      ...problems("access-log", accessPath, (path) => fileFault(path, APPEND, () => undefined)),
      ...problems("pidfile", pidFile, (path) => fileFault(path, LOCK, contentProblem)),
      ...problems("dbg-listen", listenReport, reportFault),
      ...adminFiles.flatMap((path) => problems("admin", path, socketFault)),
      ...unix.flatMap((path) => problems("frontend", path, socketFault)),
    ],
  };
}

const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK | constants.O_NOCTTY;
const LOCK = constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW | constants.O_NOCTTY;

/** A file that exists is opened as a start would open it, which changes nothing. */
function fileFault(
  path: string,
  flags: number,
  contentProblem: (fd: number) => readonly string[] | undefined,
): string | undefined {
  try {
    const fd = openSync(path, flags);
    try {
      return contentProblem(fd)?.[0];
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    return isMissing(error) ? directoryFault(path) : errorText(error);
  }
}

/** The report replaces the file by a rename. */
function reportFault(path: string): string | undefined {
  try {
    const found = statSync(path);
    if (found.isDirectory()) return "Is a directory";
    return found.isFile() ? directoryFault(path) : "Not a regular file";
  } catch (error) {
    return isMissing(error) ? directoryFault(path) : errorText(error);
  }
}

function socketFault(path: string): string | undefined {
  try {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found && !found.isSocket()) return "a file that is not a socket has this path";
    return directoryFault(path);
  } catch (error) {
    return errorText(error);
  }
}

/** Returns why no file can be created in the path's directory. */
function directoryFault(path: string): string | undefined {
  try {
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return errorText(error);
  }
}

function isMissing(error: unknown): boolean {
  return (error as { readonly code?: unknown }).code === "ENOENT";
}
