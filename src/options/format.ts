/** Values back into the text that would be parsed to them. */
import { formatAddress } from "./address.ts";
import type { Address, UnixAddress } from "./config.ts";

/** The text of a setting's value; undefined for an unset one. Frontends and certificates have none. */
export function formatValue(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "boolean") return value ? "on" : "off";
  if (Array.isArray(value)) return value.map(formatValue).join(",");
  return typeof value === "object" ? formatAddress(value as Address | UnixAddress) : String(value);
}
