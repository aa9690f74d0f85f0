import type { Ids } from "../system/ids.ts";
import type { StapleCommand } from "./staples.ts";
import { type LogEvent, parseLogEvent } from "../log/log_event.ts";
import type { LogConfig } from "../options/config.ts";

/**
 * Maximum size of a response, in bytes. Real ones have less than 4 KiB, and in base64 this size
 * fits into one frame to the master.
 */
export const MAX_RESPONSE = 32 * 1024;

/** Commands from the master to the OCSP helper: one start, then every certificate. */
export type OcspCommand = OcspStart | OcspCertificate;

export interface OcspStart {
  readonly type: "start";
  readonly settings: OcspSettings;
  /** The user to become first; absent: no change. */
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
  /** Its index in `ServedTls.certificates`. */
  readonly certificate: number;
  /** The path of its PEM file, which names it in the log and in the cache. */
  readonly path: string;
  /** PEM, the leaf first. */
  readonly chain: string;
  /** Verify the signature of a cached response. Responses from the network are always verified. */
  readonly verify: boolean;
  /** The staple that workers have from the certificate's response file. */
  readonly staple?: { readonly until?: number };
}

/** Events from the OCSP helper to the master. */
export type OcspEvent = StapleCommand | LogEvent;

/**
 * Returns the event in a decoded frame, or undefined if it is not one. The helper parses data from
 * the network, so the master does not trust it. `certificates` is the number of certificates.
 */
export function parseOcspEvent(value: unknown, certificates: number): OcspEvent | undefined {
  const log = parseLogEvent(value);
  if (log) return log;
  if (typeof value !== "object" || value === null) return undefined;
  const { type, certificate, response, until, from } = value as Record<string, unknown>;
  const isStaple = type === "staple" && isPlace(certificate, certificates) && isBase64(response) &&
    isTime(until) && isTime(from);
  if (!isStaple) return undefined;
  return {
    ...{ type, certificate, response },
    ...(until === undefined ? {} : { until }),
    ...(from === undefined ? {} : { from }),
  };
}

function isTime(value: unknown): value is number | undefined {
  return value === undefined || (typeof value === "number" && Number.isFinite(value));
}

function isPlace(value: unknown, count: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < count;
}

function isBase64(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length % 4 === 0 &&
    value.length <= Math.ceil(MAX_RESPONSE / 3) * 4 && /^[A-Za-z0-9+/]+={0,2}$/.test(value);
}
