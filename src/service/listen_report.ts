import { renameSync, rmSync, writeFileSync } from "node:fs";
import { UsageError } from "../base/errors.ts";
import type { Endpoint } from "../os/endpoint.ts";
import { errorText } from "../os/error_text.ts";

/**
 * hitch's `--dbg-listen`: one line `192.0.2.1:443` for each IPv4 endpoint, in order, after the start
 * and after each reload. A reader sees the old file or the new one, never a part. Throws a UsageError
 * when the file cannot be written.
 */
export function writeListenReport(path: string, endpoints: readonly Endpoint[]): void {
  const lines = endpoints.flatMap((endpoint) =>
    endpoint.family === 4 ? [`${endpoint.address}:${endpoint.port}\n`] : []
  );
  const draft = `${path}.${process.pid}`;
  try {
    // Whatever is there under this name is not to be followed.
    rmSync(draft, { force: true });
    writeFileSync(draft, lines.join(""), { flag: "wx", mode: 0o644 });
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw new UsageError(
      `--dbg-listen: cannot write ${path}: ${errorText(error)}; choose another path`,
    );
  }
}
