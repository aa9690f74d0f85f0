import type { Ids } from "../system/ids.ts";
import { VALUE_LENGTH } from "./store_entries.ts";

/** Commands from the master to the ticket store's helper: one start, then questions. */
export type StoreCommand =
  | StoreStart
  | { readonly type: "get"; readonly number: number; readonly names: readonly string[] }
  | { readonly type: "set"; readonly number: number; readonly entries: readonly SealedEntry[] };

export interface StoreStart {
  readonly type: "start";
  /** With user and password. */
  readonly url: string;
  /** PEM; absent: the public CAs. */
  readonly ca?: string;
  /** The user to become first; absent: no change. */
  readonly ids?: Ids;
}

export interface SealedEntry {
  readonly name: string;
  /** Base64. */
  readonly value: string;
  /** Milliseconds until it expires in the store. */
  readonly ttl: number;
  /** It does not replace an existing entry. */
  readonly onlyNew: boolean;
}

/** Events from the helper: the answer to the question with that number. */
export type StoreEvent =
  /** In base64, null for a missing entry; empty for `set`. */
  | { readonly type: "values"; readonly number: number; readonly values: readonly Value[] }
  | { readonly type: "failed"; readonly number: number; readonly reason: string };

type Value = string | null;

/** Maximum bytes to read of a value: one more than it has, to detect longer ones. */
export const MAX_BYTES = VALUE_LENGTH + 1;
/** Maximum number of values in an answer, more than one question asks for. */
const MAX_VALUES = 16;
/** Maximum length of a reason in the log. */
const REASON_LENGTH = 200;

/**
 * Returns the event in a decoded frame, or undefined if it is not one. The helper parses the
 * store's data, so the master does not trust it.
 */
export function parseStoreEvent(value: unknown): StoreEvent | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { type, number, values, reason } = value as Record<string, unknown>;
  if (typeof number !== "number" || !Number.isSafeInteger(number)) return undefined;
  if (type === "failed" && typeof reason === "string") {
    return { type, number, reason: reason.slice(0, REASON_LENGTH) };
  }
  const isList = Array.isArray(values) && values.length <= MAX_VALUES && values.every(isValue);
  return type === "values" && isList ? { type, number, values } : undefined;
}

function isValue(value: unknown): value is Value {
  return value === null || typeof value === "string" &&
      value.length <= Math.ceil(MAX_BYTES / 3) * 4 && /^[A-Za-z0-9+/]*={0,2}$/.test(value);
}
