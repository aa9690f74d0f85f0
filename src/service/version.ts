import manifest from "../../package.json" with { type: "json" };
import type { Runtime } from "../runtime/runtime.ts";

/** `stud 1.2.3 (Bun 1.4.5, BoringSSL …)`. */
export function versionText(runtime: Pick<Runtime, "versions">): string {
  const versions = runtime.versions();
  return `stud ${manifest.version} (${versions.runtime}, ${versions.tls})`;
}
