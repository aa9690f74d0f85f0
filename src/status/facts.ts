/** The metrics that show what the status document says, each declared with how it is read there. */
import type { Labels, MetricFamily } from "./metric.ts";
import { PREFIX } from "./metric.ts";
import type { CertificateStatus, Status, WorkerStatus } from "./status.ts";

/** The document without its metrics. */
export type Facts = Omit<Status, "metrics">;

type Samples = readonly (readonly [value: number, labels?: Labels])[];

/** A declared metric. */
export interface FactFamily {
  readonly name: string;
  readonly type: "counter" | "gauge";
  /** One sentence. */
  readonly help: string;
  /** The values of each label, in words that bound their number. */
  readonly labels: Readonly<Record<string, string>>;
  read(facts: Facts): Samples;
}

/** Maximum number of series with a certificate's name. */
const MAX_CERTIFICATES = 1000;

const PROCESSES =
  "`master`, `worker-` with the number of each slot of the current generation, and " +
  "`draining` for all older workers";

export const FACT_FAMILIES: readonly FactFamily[] = [
  {
    name: "build_info",
    type: "gauge",
    help: "The version of stud, of its runtime and of its TLS library.",
    labels: { version: "one", runtime: "one", tls: "one" },
    read: ({ build: { version, runtime, tls } }) => [[1, { version, runtime, tls }]],
  },
  {
    name: "start_time_seconds",
    type: "gauge",
    help: "When the master process was started, in seconds since 1970.",
    labels: {},
    read: ({ master }) => [[seconds(master.startedAt)]],
  },
  {
    name: "ready",
    type: "gauge",
    help: "Whether new clients should be sent here, as /readyz answers: 1 or 0.",
    labels: {},
    read: ({ ready }) => [[Number(ready.isReady)]],
  },
  {
    name: "problems",
    type: "gauge",
    help: "Present problems, which the status document describes.",
    labels: { severity: "`error`, `warning`" },
    read: ({ problems }) =>
      ["error", "warning"].map((severity) => [
        problems.filter((problem) => problem.severity === severity).length,
        { severity },
      ]),
  },
  {
    name: "workers",
    type: "gauge",
    help: "Worker processes by state.",
    labels: { state: "`starting`, `serving`, `silent`, `draining`, `exited`" },
    read: ({ workers }) =>
      ["starting", "serving", "silent", "draining", "exited"].map((state) => [
        workers.filter((worker) => worker.state === state).length,
        { state },
      ]),
  },
  {
    name: "event_loop_delay_seconds",
    type: "gauge",
    help: "The longest delay of a process's event loop in the last one to two seconds.",
    labels: { process: PROCESSES },
    read: (facts) =>
      byProcess(facts, ({ eventLoopDelaySeconds }) => eventLoopDelaySeconds, Math.max),
  },
  {
    name: "resident_memory_bytes",
    type: "gauge",
    help: "Resident memory of a process.",
    labels: { process: PROCESSES },
    read: (facts) => byProcess(facts, ({ residentBytes }) => residentBytes, (a, b) => a + b),
  },
  {
    name: "generation",
    type: "gauge",
    help: "The number of the current generation of workers; the first is 1.",
    labels: {},
    read: ({ generations }) =>
      generations.filter(({ isCurrent }) => isCurrent).map(({ number }) => [number]),
  },
  {
    name: "generations",
    type: "gauge",
    help: "Generations with workers, including those that start or drain.",
    labels: {},
    read: ({ generations }) => [[generations.length]],
  },
  {
    name: "generation_connections",
    type: "gauge",
    help: "Open connections by generation.",
    labels: { generation: "the numbers of running generations, at most `--max-generations`" },
    read: ({ generations }) =>
      generations.map(({ number, connections }) => [connections, { generation: `${number}` }]),
  },
  {
    name: "reloads_total",
    type: "counter",
    help: "Reloads of the configuration by result.",
    labels: { result: "`succeeded`, `failed`" },
    read: ({ reloads }) =>
      (["succeeded", "failed"] as const).map((result) => [reloads[result], { result }]),
  },
  {
    name: "reloads_in_progress",
    type: "gauge",
    help: "Reloads that were requested and have not ended.",
    labels: { state: "`running`, `waiting`" },
    read: ({ reloads: { inProgress = [] } }) =>
      ["running", "waiting"].map((state) => [
        inProgress.filter((reload) => reload.state === state).length,
        { state },
      ]),
  },
  {
    name: "last_reload_success",
    type: "gauge",
    help: "Whether the last reload that has ended succeeded: 0 after a failed one.",
    labels: {},
    read: ({ reloads }) => [[Number(reloads.last?.result !== "failed")]],
  },
  {
    name: "last_reload_timestamp_seconds",
    type: "gauge",
    help: "When a reload last ended, or the start if none has, in seconds since 1970.",
    labels: {},
    read: ({ reloads, configuration }) => [
      [seconds(reloads.last?.finishedAt ?? configuration.loadedAt)],
    ],
  },
  {
    name: "last_reload_duration_seconds",
    type: "gauge",
    help: "How long the last reload that has ended took.",
    labels: {},
    read: ({ reloads: { last } }) => last ? [[last.seconds]] : [],
  },
  {
    name: "backend_up",
    type: "gauge",
    help: "Whether the backend can be connected: 0 from a failed connect until one succeeds.",
    labels: { service: "`default`" },
    read: ({ backends }) =>
      backends.map(({ service, state }) => [Number(state !== "down"), { service }]),
  },
  {
    name: "backend_state_since_timestamp_seconds",
    type: "gauge",
    help: "Since when the backend is up or down, in seconds since 1970.",
    labels: { service: "`default`" },
    read: ({ backends }) =>
      backends.flatMap(({ service, since }) =>
        since === undefined ? [] : [[seconds(since), { service }] as const]
      ),
  },
  {
    name: "certificates",
    type: "gauge",
    help: "Certificates in use.",
    labels: {},
    read: ({ certificates }) => [[certificates.total]],
  },
  {
    name: "certificate_not_after_timestamp_seconds",
    type: "gauge",
    help: "When a certificate ends, in seconds since 1970.",
    labels: {
      name: "a name that the certificate serves",
      place: "its file; at most 1,000 series, of the certificates that end first",
    },
    read: ({ certificates }) => notAfter(certificates.listed),
  },
  {
    name: "ocsp_staple_age_seconds",
    type: "gauge",
    help: "Age of the OCSP response that is stapled to a certificate.",
    labels: { place: "the certificate's file, at most 1,000" },
    read: ({ certificates }) =>
      distinct(
        certificates.listed.flatMap(({ place, stapleAgeSeconds }) =>
          stapleAgeSeconds === undefined ? [] : [[stapleAgeSeconds, { place }] as const]
        ),
        Math.max,
      ),
  },
  {
    name: "ticket_key_age_seconds",
    type: "gauge",
    help: "Age of the key of new session tickets.",
    labels: {},
    read: ({ tickets }) => tickets ? [[tickets.keyAgeSeconds]] : [],
  },
];

/** Returns the metrics of the document. */
export function factMetrics(facts: Facts, created: number): MetricFamily[] {
  return FACT_FAMILIES.map(({ name, type, help, read }) => ({
    ...{ name: `${PREFIX}${name}`, type, help },
    ...(type === "counter" ? { created } : {}),
    samples: read(facts).map(([value, labels = {}]) => ({ labels, value })),
  }));
}

/** Older workers, whose slots newer ones have, share one series. */
function byProcess(
  { master, workers, generations }: Facts,
  value: (process: Pick<WorkerStatus, "eventLoopDelaySeconds" | "residentBytes">) => number,
  join: (a: number, b: number) => number,
): Samples {
  const current = generations.find(({ isCurrent }) => isCurrent)?.number;
  const samples = workers.map((worker) => {
    const isOlder = worker.generation !== current || worker.state === "draining";
    const process = isOlder ? "draining" : `worker-${worker.slot}`;
    return [value(worker), { process }] as const;
  });
  return distinct([[value(master), { process: "master" }], ...samples], join);
}

/** The first name of every certificate comes before the other names. */
function notAfter(certificates: readonly CertificateStatus[]): Samples {
  const samples = certificates.flatMap(({ names, place, notAfter }) =>
    (names.length > 0 ? names : [""]).map((name, rank) => ({
      rank: Number(rank > 0),
      sample: [seconds(notAfter), { name, place }] as const,
    }))
  );
  const ordered = [0, 1].flatMap((wanted) => samples.filter(({ rank }) => rank === wanted));
  return distinct(ordered.map(({ sample }) => sample), Math.min).slice(0, MAX_CERTIFICATES);
}

/** Joins the values of samples with equal labels, which a format must not contain. */
function distinct(
  samples: readonly (readonly [number, Labels])[],
  join: (a: number, b: number) => number,
): [number, Labels][] {
  const found = new Map<string, [number, Labels]>();
  for (const [value, labels] of samples) {
    const key = JSON.stringify(labels);
    const known = found.get(key);
    found.set(key, [known ? join(known[0], value) : value, labels]);
  }
  return [...found.values()];
}

/** From ISO 8601 to seconds since 1970. */
function seconds(time: string): number {
  return Date.parse(time) / 1000;
}
