/** curl as a client of stud, and haproxy as a server behind it. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { type Finished, run, serve } from "./commands.ts";
import type { Context } from "./context.ts";
import { type Endpoint, endpointText, freeEndpoint } from "./endpoints.ts";
import { until } from "./until.ts";

/** The certificate contains the frontends' name, but not their addresses. */
export function curl(context: Context, args: readonly string[]): Promise<Finished> {
  const trust = ["--cacert", context.certificates.ca];
  const name = args.at(-1)!.replace(/^https:\/\/(.*):(\d+)\/.*$/, "localhost:$2:$1:$2");
  const words = args.map((word) => word.replace(/^https:\/\/.*:(\d+)\//, "https://localhost:$1/"));
  return run("curl", [
    "-sS",
    "--http1.1",
    "--max-time",
    "50",
    ...trust,
    "--connect-to",
    name,
    ...words,
  ]);
}

/** haproxy that requires a PROXY header and answers with `facts`, samples of the header. */
export async function startHaproxy(
  context: Context,
  facts: readonly string[],
): Promise<Endpoint> {
  const directory = mkdtempSync(join(context.certificates.directory, "haproxy-"));
  const endpoint = await freeEndpoint();
  const config = join(directory, "haproxy.cfg");
  const format = facts.map((fact) => `%[${fact}]`).join(" ");
  writeFileSync(
    config,
    `defaults
      mode http
      timeout client 100s
      timeout connect 100s
      timeout server 100s
    frontend stud
      bind ${endpointText(endpoint)} accept-proxy
      http-request return status 200 content-type text/plain lf-string "${format}"
`,
  );
  const haproxy = serve("haproxy", ["-db", "-f", config]);
  context.after(() => haproxy.stop());
  await accepting(endpoint);
  return endpoint;
}

/** Waits until something listens there. */
export async function accepting(endpoint: Endpoint): Promise<void> {
  await until(() =>
    new Promise<boolean>((resolve) => {
      const probe = connect(endpoint, () => {
        probe.destroy();
        resolve(true);
      }).on("error", () => resolve(false));
    }), `a listener at ${endpointText(endpoint)}`);
}
