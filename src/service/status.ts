import process from "node:process";
import manifest from "../../package.json" with { type: "json" };
import { residentMemory } from "../os/resident_memory.ts";
import type { Facts } from "../status/facts.ts";
import { problemsOf } from "../status/problems.ts";
import { type Readiness, type Status, STATUS_VERSION } from "../status/status.ts";
import type { Master } from "../master/master.ts";
import { exchangeCounts } from "./late_counts.ts";
import type { ServiceState } from "./state.ts";

/** Returns what the running service says about itself. Cheap enough to be called some times a second. */
export function statusOf(state: ServiceState): Status {
  const { command: { config }, isStopping, isReplaced, runtime } = state;
  const now = Date.now();
  const master = state.master!;
  const versions = runtime.versions();
  exchangeCounts(state);
  const facts = master.status();
  const droppedLines = droppedLinesOf(master);
  const ready = readinessOf(state, config.admin.readyBackend);
  const problems = problemsOf({
    ...{ ...facts, reloads: state.reloads.status, ...master.problemFacts(now), now },
    upgradeFailure: state.upgradeFailure,
    isEnding: isStopping || isReplaced,
    lostLines: recentlyLost(state, now),
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

/**
 * Returns the number of log lines lost so far if some were lost in the last ten minutes, else 0. To be
 * called once a minute. `now` is in milliseconds since 1970.
 */
export function recentlyLost(
  { lostLines, master }: Pick<ServiceState, "lostLines" | "master">,
  now: number,
): number {
  return lostLines.lately(droppedLinesOf(master!), now);
}

function droppedLinesOf({ counts: { totals } }: Master): number {
  return totals.total("log_lines_dropped_total");
}

/**
 * Whether a load balancer should send new clients. `needsBackend`: only while the backend can be
 * connected (--admin-ready-backend).
 */
export function readinessOf(
  { isStopping, isReplaced, master }: ReadinessState,
  needsBackend: boolean,
): Readiness {
  if (isStopping) return notReady("stud is stopping");
  if (isReplaced) return notReady("another process has taken over");
  if (!master!.isServing) return notReady("no worker accepts connections");
  if (!needsBackend) return { isReady: true };
  const { backendProbe } = master!;
  if (!backendProbe) return notReady("the backend has not been tried yet");
  if (backendProbe.isUp) return { isReady: true };
  return notReady(`the backend cannot be connected: ${backendProbe.cause}`);
}

/** What readiness follows from. */
interface ReadinessState extends Pick<ServiceState, "isStopping" | "isReplaced"> {
  readonly master: Pick<Master, "backendProbe" | "isServing"> | undefined;
}

function notReady(reason: string): Readiness {
  return { isReady: false, reason };
}
