/** Gets the status document and checks that it is one, since anything may answer at an address. */
import { type ReloadStatus, type Status, STATUS_VERSION } from "../status/status.ts";
import type { MetricFamily } from "../status/metric.ts";
import { SubcommandError } from "../options/subcommand.ts";
import { type Answer, ANSWER_LIMIT_MS, ask, nameOf, refusal } from "./client.ts";
import type { Service } from "./service.ts";

/** Asks for the status. Throws a SubcommandError with one line if what answers is no stud. */
export async function askStatus(service: Service): Promise<Status> {
  const answer = await ask(service, { method: "GET", path: "/status", limitMs: ANSWER_LIMIT_MS });
  if (answer.status !== 200) throw refusal(service, answer);
  const found = parsed(answer);
  if (matches(found, { version: "number" }) && found.version !== STATUS_VERSION) {
    throw new SubcommandError(
      `${nameOf(service)}: it sends version ${found.version} of the status document, not ` +
        `${STATUS_VERSION}; use the stud command of the same version`,
    );
  }
  if (matches(found, STATUS)) {
    const status = found as unknown as Status;
    if (status.metrics.every(isMetric)) return status;
  }
  throw foreign(service);
}

/** Returns the result of a reload, whatever its HTTP status. Throws a SubcommandError. */
export function reloadStatus(service: Service, answer: Answer): ReloadStatus {
  const found = parsed(answer);
  if (matches(found, RELOAD)) return found as unknown as ReloadStatus;
  throw answer.status === 200 ? foreign(service) : refusal(service, answer);
}

function foreign(service: Service): SubcommandError {
  return new SubcommandError(
    `${nameOf(service)}: what answers is not the admin endpoint of a stud; check the address`,
  );
}

function parsed({ body }: Answer): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** The types of the members that are shown; a `?` ends the name of one that may be absent. */
type Shape = "string" | "number" | "boolean" | readonly [Shape] | {
  readonly [name: string]: Shape;
};

const RELOAD: Shape = {
  result: "string",
  cause: "string",
  finishedAt: "string",
  seconds: "number",
  problems: ["string"],
};

const STATUS: Shape = {
  version: "number",
  time: "string",
  health: "string",
  problems: [{ severity: "string", code: "string", text: "string" }],
  ready: { isReady: "boolean", "reason?": "string" },
  build: { version: "string", runtime: "string", tls: "string" },
  master: {
    pid: "number",
    startedAt: "string",
    residentBytes: "number",
    eventLoopDelaySeconds: "number",
  },
  configuration: { files: [{ path: "string", changedAt: "string" }], loadedAt: "string" },
  reloads: {
    succeeded: "number",
    failed: "number",
    isRunning: "boolean",
    // Absent also from an older version.
    "inProgress?": [{ state: "string", cause: "string", since: "string", "reason?": "string" }],
    "last?": RELOAD,
  },
  generations: [{
    number: "number",
    isCurrent: "boolean",
    workers: "number",
    connections: "number",
  }],
  frontends: [{ name: "string", addresses: ["string"], accepted: "number", open: "number" }],
  backends: [{
    service: "string",
    address: "string",
    state: "string",
    "since?": "string",
    "cause?": "string",
  }],
  workers: [{
    slot: "number",
    pid: "number",
    generation: "number",
    state: "string",
    connections: "number",
    accepted: "number",
    residentBytes: "number",
    eventLoopDelaySeconds: "number",
  }],
  certificates: {
    total: "number",
    listed: [{
      names: ["string"],
      place: "string",
      "frontend?": "string",
      notAfter: "string",
      daysLeft: "number",
      key: "string",
      issuer: "string",
    }],
  },
  failures: [{
    time: "string",
    worker: "number",
    client: "string",
    source: "string",
    code: "string",
    cause: "string",
  }],
  "tickets?": { keyAgeSeconds: "number", source: "string" },
  log: { level: "number", droppedLines: "number" },
  metrics: [{ name: "string", type: "string", samples: [{ labels: {} }] }],
};

const HISTOGRAM: Shape = { bounds: ["number"], samples: [{ counts: ["number"], sum: "number" }] };

function isMetric(metric: MetricFamily): boolean {
  return metric.type !== "histogram" || matches(metric, HISTOGRAM);
}

function matches<S extends Shape>(
  value: unknown,
  shape: S,
): value is S extends { version: "number" } ? { readonly version: number } : unknown {
  const type: string = typeof value;
  if (typeof shape === "string") return type === shape;
  if (Array.isArray(shape)) {
    return Array.isArray(value) && value.every((each) => matches(each, shape[0]));
  }
  if (type !== "object" || value === null || Array.isArray(value)) return false;
  return Object.entries(shape).every(([name, member]) => {
    const found = (value as Record<string, unknown>)[name.replace("?", "")];
    return found === undefined ? name.endsWith("?") : matches(found, member);
  });
}
