/**
 * The status document: what the running service says about itself. The master makes it, the admin
 * endpoint's helper serves it as `/status`, and `stud status`, `stud top` and the live page show it.
 * Times are ISO 8601 in UTC, durations are in seconds. No member holds a secret.
 */
import type { MetricFamily } from "./metric.ts";

/** Incremented when a member changes its meaning or disappears; new members do not count. */
export const STATUS_VERSION = 1;

export interface Status {
  readonly version: typeof STATUS_VERSION;
  /** When it was made. */
  readonly time: string;
  /** `well`: no problems. `degraded`: it serves, but there are problems. `draining`: it stops. */
  readonly health: "well" | "degraded" | "draining";
  /** What is wrong, the most severe first. */
  readonly problems: readonly Problem[];
  readonly ready: Readiness;
  readonly build: BuildStatus;
  readonly master: MasterStatus;
  readonly configuration: ConfigurationStatus;
  readonly reloads: ReloadsStatus;
  /** The current one first. */
  readonly generations: readonly GenerationStatus[];
  readonly frontends: readonly FrontendStatus[];
  readonly backends: readonly BackendStatus[];
  /** By slot. */
  readonly workers: readonly WorkerStatus[];
  readonly certificates: CertificatesStatus;
  /** The last failed connections, the newest first, at most {@link MAX_RECENT_FAILURES}. */
  readonly failures: readonly FailureStatus[];
  /** Absent where the TLS library makes its own ticket keys, and without tickets. */
  readonly tickets?: { readonly keyAgeSeconds: number; readonly source: string };
  readonly log: { readonly level: 0 | 1 | 2; readonly droppedLines: number };
  /** Everything that `/metrics` shows. */
  readonly metrics: readonly MetricFamily[];
}

export const MAX_RECENT_FAILURES = 20;
/** Certificates that the document lists, those that expire first; all are counted. */
export const MAX_LISTED_CERTIFICATES = 1000;
/** Names that it lists of one certificate. */
export const MAX_LISTED_NAMES = 100;

/** One thing that an operator has to see to. */
export interface Problem {
  readonly severity: "error" | "warning";
  /** Stable, for programs: `backend-down`, `certificate-expired`, `reload-failed` … */
  readonly code: string;
  /** One line: what, where, what to do. */
  readonly text: string;
}

/** What `/readyz` answers. */
export interface Readiness {
  readonly isReady: boolean;
  /** One line if it is not. */
  readonly reason?: string;
}

export interface BuildStatus {
  /** Of stud. */
  readonly version: string;
  /** `Bun 1.4.5`. */
  readonly runtime: string;
  readonly tls: string;
  readonly capabilities: Readonly<Record<string, unknown>>;
}

export interface MasterStatus {
  readonly pid: number;
  readonly startedAt: string;
  readonly residentBytes: number;
  /** The longest delay of its event loop in the last second. */
  readonly eventLoopDelaySeconds: number;
}

export interface ConfigurationStatus {
  readonly dialect: "stud" | "hitch";
  /** The files that were read, with the time of their last change when they were. */
  readonly files: readonly { readonly path: string; readonly changedAt: string }[];
  /** When it was put into service. */
  readonly loadedAt: string;
}

export interface ReloadsStatus {
  readonly succeeded: number;
  readonly failed: number;
  readonly isRunning: boolean;
  /** Those that were requested and have not ended, first the one that runs; absent: there is none. */
  readonly inProgress?: readonly ReloadInProgress[];
  /** The last one that has ended; it stays while another one waits or runs. */
  readonly last?: ReloadStatus;
}

/** A reload whose result is not known yet. */
export interface ReloadInProgress {
  readonly state: "running" | "waiting";
  /** A clause: `received SIGHUP` … */
  readonly cause: string;
  /** When it was requested. */
  readonly since: string;
  /** Why it waits, one line. */
  readonly reason?: string;
  /** It waits for an older generation to end, which can take any time (--max-generations). */
  readonly waitsForRoom?: true;
}

export interface ReloadStatus {
  /**
   * `waiting`: it begins once an older generation has ended (--max-generations). Only a request for a
   * reload is answered so; it is no last result.
   */
  readonly result: "succeeded" | "failed" | "waiting";
  /** A clause: `received SIGHUP`, `certificate files have changed` … */
  readonly cause: string;
  readonly finishedAt: string;
  readonly seconds: number;
  /** Why it failed or waits, one line for each. */
  readonly problems: readonly string[];
}

export interface GenerationStatus {
  readonly number: number;
  readonly isCurrent: boolean;
  readonly workers: number;
  readonly connections: number;
}

export interface FrontendStatus {
  /** `127.0.0.1:443`, `*:443`: also in the access log and in the `frontend` labels of metrics. */
  readonly name: string;
  readonly addresses: readonly string[];
  readonly accepted: number;
  readonly open: number;
}

export interface BackendStatus {
  /** `default`. */
  readonly service: string;
  readonly address: string;
  /** `unknown` until the first connection. */
  readonly state: "up" | "down" | "unknown";
  readonly since?: string;
  /** Of the last failed connect, while it is down. */
  readonly cause?: string;
}

export interface WorkerStatus {
  readonly slot: number;
  readonly pid: number;
  readonly generation: number;
  readonly state: "starting" | "serving" | "silent" | "draining" | "exited";
  readonly startedAt?: string;
  readonly connections: number;
  readonly accepted: number;
  readonly residentBytes: number;
  readonly eventLoopDelaySeconds: number;
}

export interface CertificatesStatus {
  readonly total: number;
  /** Those that expire first come first. */
  readonly listed: readonly CertificateStatus[];
  /** Those with fewer days left are warned about (--certificate-warning-days). */
  readonly warningDays?: number;
}

export interface CertificateStatus {
  /** The names it serves, at most {@link MAX_LISTED_NAMES}. */
  readonly names: readonly string[];
  /** The file, and the certificate's place in it if there are several. */
  readonly place: string;
  /** The frontend's name, or several with commas; absent: all frontends. */
  readonly frontend?: string;
  readonly notBefore: string;
  readonly notAfter: string;
  /** Negative once it has ended. */
  readonly daysLeft: number;
  /** `ECDSA P-256`, `RSA 2048`. */
  readonly key: string;
  readonly issuer: string;
  /** Age of its OCSP staple; absent without one. */
  readonly stapleAgeSeconds?: number;
}

export interface FailureStatus {
  readonly time: string;
  readonly worker: number;
  readonly client: string;
  readonly source: string;
  readonly code: string;
  readonly cause: string;
}
