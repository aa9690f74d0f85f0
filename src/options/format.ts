/** The inverse of parsing values. */
import { formatAddress } from "./address.ts";
import type { Address, UnixAddress } from "./config.ts";

/** Returns the text of a setting's value, undefined if unset. Not for frontends and certificates. */
export function formatValue(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "boolean") return value ? "on" : "off";
  if (Array.isArray(value)) return value.map(formatValue).join(",");
  return typeof value === "object" ? formatAddress(value as Address | UnixAddress) : String(value);
}
