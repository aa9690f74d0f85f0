/** Which of the named TLS versions a build offers. */
import type { Capabilities } from "../runtime/capabilities.ts";
import type { Protocol } from "../runtime/tls.ts";
import type { NamedVersion } from "./tls_values.ts";

/**
 * Returns the named versions that the build has, oldest first. Where the library cannot leave out a
 * version between others (no client can), those below the gap are not offered: it would offer only
 * these.
 */
export function offeredVersions(
  named: readonly NamedVersion[],
  { protocols, versionGaps }: Pick<Capabilities, "protocols" | "versionGaps">,
  isClient: boolean,
): readonly Protocol[] {
  const offered = protocols.filter((version) => named.includes(version));
  if (versionGaps && !isClient) return offered;
  const newest = protocols.findLastIndex((version) => named.includes(version));
  const gap = protocols.findLastIndex((version, at) => at < newest && !named.includes(version));
  return offered.filter((version) => protocols.indexOf(version) > gap);
}
