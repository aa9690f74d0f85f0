import { UsageError } from "../base/errors.ts";
import type { Libc } from "../os/libc.ts";
import { cString } from "../os/structures.ts";

/**
 * Returns the index of an interface by its name or index; an index need not exist. Throws a UsageError
 * that names `option`, and the interface as `shown`.
 */
export function interfaceIndex(libc: Libc, text: string, option: string, shown = text): number {
  const found = libc.if_nametoindex(cString(text));
  if (found > 0) return found;
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : noInterface(shown, option);
}

/** Throws the UsageError for an unknown interface. */
export function noInterface(shown: string, option: string): never {
  throw new UsageError(
    `${option}: this machine has no interface ${shown}; see them with: ip address`,
  );
}
