import type { Ids } from "../system/ids.ts";
import { VALUE_LENGTH } from "./store_entries.ts";

/** What the master tells the process that speaks with the ticket store: one start, then questions. */
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
  /** Whom to become before anything else; absent: stay who we are. */
  readonly ids?: Ids;
}

export interface SealedEntry {
  readonly name: string;
  /** Base64. */
  readonly value: string;
  /** Milliseconds until the store forgets it. */
  readonly ttl: number;
  /** It takes no other's place. */
  readonly onlyNew: boolean;
}

/** The answer to the question of that number. */
export type StoreEvent =
  /** In base64, null where there is none; to `set` there are none at all. */
  | { readonly type: "values"; readonly number: number; readonly values: readonly Value[] }
  | { readonly type: "failed"; readonly number: number; readonly reason: string };

type Value = string | null;

/** One byte more than a value has, so that it is seen when there is more. */
export const MAX_BYTES = VALUE_LENGTH + 1;
/** More than anybody asks for at once. */
const MAX_VALUES = 16;
/** Characters of a reason that go to the log. */
const REASON_LENGTH = 200;

/**
 * The report in a decoded frame, or undefined when it is none: the helper reads what a store sends,
 * so nothing it says is believed.
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
