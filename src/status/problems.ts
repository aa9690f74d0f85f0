/** What an operator has to see to, from the status document and what else the master knows. */
import { connectionsText, countText } from "../base/count_text.ts";
import type { Problem, Status, WorkerStatus } from "./status.ts";

/** The codes of all problems, which docs/status.md describes. */
export const PROBLEM_CODES = [
  "backend-down",
  "backend-unresolved",
  "certificate-ends-soon",
  "certificate-expired",
  "certificate-not-yet-valid",
  "connection-limit",
  "generation-limit",
  "log-dropped",
  "not-serving",
  "reload-failed",
  "reload-waits",
  "staple-missing",
  "upgrade-failed",
  "worker-crashing",
  "worker-exited",
  "worker-missing",
  "worker-silent",
  "worker-starting",
] as const;

/** A problem's code: stable, for programs. */
export type ProblemCode = (typeof PROBLEM_CODES)[number];

/** What problems follow from. */
export interface ProblemFacts
  extends Pick<Status, "backends" | "generations" | "reloads" | "workers"> {
  /** In milliseconds since 1970. */
  readonly now: number;
  /** It stops, or another process has taken over: no worker has to accept connections. */
  readonly isEnding?: boolean;
  /** What is wrong with certificates, the most severe first. */
  readonly certificates: readonly Problem[];
  /** Workers that have exited lately. */
  readonly crashes: readonly WorkerCrashes[];
  /** `--max-generations`. */
  readonly maxGenerations: number;
  /** `--max-connections`; Infinity: no limit. */
  readonly maxConnections: number;
  /** What workers logged when they reached a limit, within the last minute. */
  readonly limits: readonly string[];
  /** Why the last upgrade failed, if it did. */
  readonly upgradeFailure: readonly string[];
  /** Why the backend's name cannot be resolved any more. */
  readonly unresolved?: string;
  /** Log lines lost since the start, if more were lost lately. */
  readonly lostLines: number;
}

/** What the master contributes. */
export type MasterProblemFacts = Pick<
  ProblemFacts,
  "certificates" | "crashes" | "limits" | "maxConnections" | "maxGenerations" | "unresolved"
>;

/** The exits of one slot's workers since it began to crash. */
export interface WorkerCrashes {
  readonly worker: number;
  readonly count: number;
  /** How the last one exited: `signal SIGKILL`. */
  readonly exit: string;
}

/** Exits in a row after which a worker is crashing again and again. */
const LOOP = 3;
/** A start that takes longer is a problem, in milliseconds. */
const SLOW_START_MS = 10_000;

/** Returns the problems, the most severe first. */
export function problemsOf(facts: ProblemFacts): Problem[] {
  const all = [
    ...notServing(facts),
    ...backendProblems(facts),
    ...reloadProblems(facts),
    ...facts.certificates,
    ...workerProblems(facts),
    ...limitProblems(facts),
    ...otherProblems(facts),
  ];
  const isError = ({ severity }: Problem) => severity === "error";
  return [...all.filter(isError), ...all.filter((each) => !isError(each))];
}

function notServing({ workers, generations, isEnding }: ProblemFacts): Problem[] {
  if (isEnding) return [];
  const current = generations.find(({ isCurrent }) => isCurrent)?.number;
  const serves = ({ generation, state }: WorkerStatus) =>
    generation === current && state === "serving";
  if (current === undefined || workers.some(serves)) return [];
  return [error(
    "not-serving",
    "no worker accepts connections: new clients wait until one does; the log says why " +
      "(worker-exited, worker-failed)",
  )];
}

function backendProblems({ backends, unresolved, now }: ProblemFacts): Problem[] {
  const down = backends.filter(({ state }) => state === "down").map(
    ({ address, since, cause = "unknown" }) =>
      error(
        "backend-down",
        `the backend ${address} cannot be connected ${sinceText(since, now)}: ${cause}; clients ` +
          "are disconnected: check that it runs and listens there",
      ),
  );
  if (unresolved === undefined) return down;
  const text = `the backend's name cannot be resolved: ${unresolved}; its last address stays in ` +
    "use: check the name server";
  return [...down, warning("backend-unresolved", text)];
}

function reloadProblems({ reloads, upgradeFailure }: ProblemFacts): Problem[] {
  const { last, inProgress = [] } = reloads;
  const found: Problem[] = [];
  if (last?.result === "failed") {
    found.push(error(
      "reload-failed",
      `the last reload failed (${last.cause}, ${last.finishedAt}), so the former configuration ` +
        `and certificates are in use: ${firstOf(last.problems)}; correct it, then reload`,
    ));
  }
  // What waits for another reload or an upgrade begins by itself soon.
  const waiting = inProgress.find(({ waitsForRoom }) => waitsForRoom);
  if (waiting) found.push(warning("reload-waits", waiting.reason ?? "unknown"));
  if (upgradeFailure.length > 0) {
    found.push(warning(
      "upgrade-failed",
      `the last upgrade failed, so this process goes on: ${firstOf(upgradeFailure)}; correct it, ` +
        "then send SIGUSR2 again",
    ));
  }
  return found;
}

function workerProblems({ workers, generations, crashes, now }: ProblemFacts): Problem[] {
  const current = generations.find(({ isCurrent }) => isCurrent)?.number;
  const found: Problem[] = crashes.map(({ worker, count, exit }) =>
    count < LOOP
      ? warning(
        "worker-exited",
        `worker ${worker} has exited (${exit}), with its connections, and is replaced; if it was ` +
          "not killed on purpose, the log has more (worker-exited)",
      )
      : error(
        "worker-crashing",
        `worker ${worker} exits again and again, ${countText(count)} times so far (most ` +
          `recently: ${exit}); the log has more (worker-exited)`,
      )
  );
  const isCrashing = (slot: number) => crashes.some(({ worker }) => worker === slot);
  for (const { slot, pid, generation, state, startedAt } of workers) {
    const startingMs = state === "starting" && startedAt ? now - Date.parse(startedAt) : 0;
    if (state === "silent") {
      found.push(error(
        "worker-silent",
        `worker ${slot} (pid ${pid}) does not answer; it is killed and replaced after the time ` +
          "limit --watchdog",
      ));
    } else if (generation === current && state === "exited" && !isCrashing(slot)) {
      found.push(error(
        "worker-missing",
        `worker ${slot} could not be started, which is tried again every 10 s; the log says why ` +
          "(worker-failed)",
      ));
    } else if (generation === current && startingMs > SLOW_START_MS) {
      const seconds = Math.floor(startingMs / 1000);
      found.push(warning("worker-starting", `worker ${slot} has been starting for ${seconds} s`));
    }
  }
  return found;
}

function limitProblems(facts: ProblemFacts): Problem[] {
  const { generations, maxConnections, maxGenerations, limits } = facts;
  const found: Problem[] = [];
  const open = generations.reduce((sum, { connections }) => sum + connections, 0);
  if (open >= maxConnections) {
    found.push(warning(
      "connection-limit",
      `all ${connectionsText(maxConnections)} of --max-connections are open, so new clients ` +
        "wait; raise it if the machine has room",
    ));
  } else {
    for (const text of limits) found.push(warning("connection-limit", text));
  }
  const older = generations.filter(({ isCurrent }) => !isCurrent);
  if (older.length > 0 && older.length + 1 >= maxGenerations) {
    const connections = older.reduce((sum, each) => sum + each.connections, 0);
    found.push(warning(
      "generation-limit",
      `${generations.length} generations of workers are alive, as many as --max-generations ` +
        `allows, so the next reload has to wait; the older ones have ` +
        `${connectionsText(connections)}: set --reload-drain-timeout to limit how long these stay`,
    ));
  }
  return found;
}

function otherProblems({ lostLines }: ProblemFacts): Problem[] {
  if (lostLines === 0) return [];
  const lines = lostLines === 1 ? "1 log line was" : `${countText(lostLines)} log lines were`;
  return [warning(
    "log-dropped",
    `${lines} lost, some of them in the last ten minutes, because a log was full or too slow: check the disk, or ` +
      "the reader of the log",
  )];
}

function error(code: ProblemCode, text: string): Problem {
  return { severity: "error", code, text };
}

function warning(code: ProblemCode, text: string): Problem {
  return { severity: "warning", code, text };
}

function firstOf([first = "unknown", ...others]: readonly string[]): string {
  return others.length === 0 ? first : `${first} (and ${others.length} more, in the log)`;
}

/** `since 2026-03-01T12:00:00Z (12 min)`. */
function sinceText(since: string | undefined, now: number): string {
  if (since === undefined) return "now";
  const seconds = Math.max(0, Math.round((now - Date.parse(since)) / 1000));
  const time = seconds < 120 ? `${seconds} s` : `${countText(Math.floor(seconds / 60))} min`;
  return `since ${since.replace(/\.\d+Z$/, "Z")} (${time})`;
}
