import type { StoredCertificate } from "./served_tls.ts";
import type { Dialect } from "../base/dialect.ts";

/** A certificate and its file. */
export interface FiledCertificate extends Pick<StoredCertificate, "names" | "keyType"> {
  readonly file: string;
}

/**
 * Returns one line for each name that several certificates of a list have; the first one serves it.
 * With `dualCertificates`, certificates with different key types can share a name. The hitch
 * dialect uses hitch's text.
 */
export function duplicateWarnings(
  certificates: readonly FiledCertificate[],
  dialect: Dialect,
  dualCertificates: boolean,
): string[] {
  const first = new Map<string, string>();
  const warnings: string[] = [];
  for (const { names, keyType, file } of certificates) {
    for (const name of names) {
      const key = dualCertificates ? `${keyType} ${name}` : name;
      const winner = first.get(key);
      if (winner === undefined) first.set(key, file);
      else if (winner !== file) warnings.push(warning(dialect, name, file, winner));
    }
  }
  return warnings;
}

function warning(dialect: Dialect, name: string, loser: string, winner: string): string {
  return dialect === "hitch"
    ? `Warning: SNI name '${name}' from '${loser}' overridden by '${winner}'`
    : `${loser}: the name ${name} is served by ${winner}, which is listed first`;
}
