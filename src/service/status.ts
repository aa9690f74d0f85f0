import process from "node:process";
import manifest from "../../package.json" with { type: "json" };
import { residentMemory } from "../os/resident_memory.ts";
import type { Facts } from "../status/facts.ts";
import { problemsOf } from "../status/problems.ts";
import { type Readiness, type Status, STATUS_VERSION } from "../status/status.ts";
import type { ServiceState } from "./state.ts";

/** What readiness depends on. */
export interface StatusOptions {
  /** Whether the service is ready only while the backend can be connected. */
  readonly needsBackend: boolean;
}

/** Returns what the running service says about itself. Cheap enough to be called some times a second. */
export function statusOf(state: ServiceState, options: StatusOptions): Status {
  const { command: { config }, isStopping, isReplaced, runtime } = state;
  const now = Date.now();
  const master = state.master!;
  const versions = runtime.versions();
  const facts = master.status();
  const droppedLines = master.counters.total("log_lines_dropped_total");
  const ready = readiness(state, facts, options);
  const problems = problemsOf({
    ...{ ...facts, reloads: state.reloads.status, ...master.problemFacts(now), now },
    upgradeFailure: state.upgradeFailure,
    lostLines: state.lostLines.lately(droppedLines, now),
  });
  const document: Facts = {
    version: STATUS_VERSION,
    time: new Date(now).toISOString(),
    health: isStopping || isReplaced ? "draining" : problems.length > 0 ? "degraded" : "well",
    problems,
    ready,
    build: {
      version: manifest.version,
      runtime: versions.runtime,
      tls: versions.tls,
      capabilities: { ...runtime.capabilities },
    },
    master: {
      pid: process.pid,
      startedAt: new Date(performance.timeOrigin).toISOString(),
      residentBytes: residentMemory(process.pid),
      eventLoopDelaySeconds: master.loopDelayMs / 1000,
    },
    configuration: { dialect: config.dialect, ...state.configuration },
    reloads: state.reloads.status,
    ...facts,
    log: { level: state.log.level, droppedLines },
  };
  return { ...document, metrics: master.metrics(document) };
}

/** Whether a load balancer should send new clients. */
function readiness(
  { isStopping, isReplaced, master }: ServiceState,
  { backends }: Pick<Status, "backends">,
  { needsBackend }: StatusOptions,
): Readiness {
  if (isStopping) return { isReady: false, reason: "stud is stopping" };
  if (isReplaced) return { isReady: false, reason: "another process has taken over" };
  if (!master!.isServing) return { isReady: false, reason: "no worker accepts connections" };
  const down = needsBackend ? backends.find(({ state }) => state === "down") : undefined;
  if (!down) return { isReady: true };
  return {
    isReady: false,
    reason: `the backend ${down.address} cannot be connected: ${down.cause}`,
  };
}
