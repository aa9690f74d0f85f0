import type { Ids } from "../system/ids.ts";
import type { StapleCommand } from "./staples.ts";
import { type LogEvent, parseLogEvent } from "../log/log_report.ts";
import type { LogConfig } from "../options/config.ts";

/**
 * The largest response that is looked at, in bytes. Real ones have less than 4 KiB, and as base64
 * this many fit into one frame to the master.
 */
export const MAX_RESPONSE = 32 * 1024;

/** What the master tells the OCSP helper: one start, then every certificate. */
export type OcspCommand = OcspStart | OcspCertificate;

export interface OcspStart {
  readonly type: "start";
  readonly settings: OcspSettings;
  /** Whom to become before anything else; absent: stay who we are. */
  readonly ids?: Ids;
}

export interface OcspSettings {
  /** Absolute, never "". */
  readonly directory: string;
  /** All in seconds. */
  readonly connectTimeout: number;
  readonly responseTimeout: number;
  readonly refreshInterval: number;
  readonly logLevel: LogConfig["level"];
}

export interface OcspCertificate {
  readonly type: "certificate";
  /** Its place in `ServedTls.certificates`. */
  readonly certificate: number;
  /** Of its PEM file: names it in the log and in the cache. */
  readonly path: string;
  /** PEM, the leaf first. */
  readonly chain: string;
  /** The signature of a response in the cache is verified. One from the network always is. */
  readonly verify: boolean;
  /** The workers have a staple from the certificate's own response file. */
  readonly staple?: { readonly until?: number };
}

/** What the OCSP helper tells the master. */
export type OcspEvent = StapleCommand | LogEvent;

/**
 * The report in a decoded frame, or undefined when it is none: the helper reads what strangers
 * send, so nothing it says is believed. `certificates` is how many there are.
 */
export function parseOcspEvent(value: unknown, certificates: number): OcspEvent | undefined {
  const log = parseLogEvent(value);
  if (log) return log;
  if (typeof value !== "object" || value === null) return undefined;
  const { type, certificate, response, until } = value as Record<string, unknown>;
  const isStaple = type === "staple" && isPlace(certificate, certificates) && isBase64(response) &&
    (until === undefined || (typeof until === "number" && Number.isFinite(until)));
  if (!isStaple) return undefined;
  return { type, certificate, response, ...(until === undefined ? {} : { until }) };
}

function isPlace(value: unknown, count: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < count;
}

function isBase64(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length % 4 === 0 &&
    value.length <= Math.ceil(MAX_RESPONSE / 3) * 4 && /^[A-Za-z0-9+/]+={0,2}$/.test(value);
}
