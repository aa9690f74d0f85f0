/**
 * Checks with sslscan and testssl what each build offers by default, as `npm run test:tls`. Prints a
 * table, writes it into docs/tls.md if all builds were checked, and exits with 1 if one of them fails.
 * `--target=bun` (deno, node, dist-stud …) checks one, also from source.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { replaceMarked } from "../../scripts/marked.ts";
import { makeCertificates, removeCertificates } from "../support/certificates.ts";
import { isInstalled } from "../support/commands.ts";
import { Context } from "../support/context.ts";
import { sslscan, testssl } from "../support/scanners.ts";
import { type Target, target } from "../support/target.ts";
import { findingPoints, type PointResult, scanPoints } from "../support/tls_points.ts";

type TargetName = Parameters<typeof target>[0];

const BUILDS: Readonly<Record<string, TargetName>> = {
  "Bun (BoringSSL)": "dist-stud",
  "Node (OpenSSL)": "dist-stud-node",
  "Deno (rustls)": "dist-stud-deno",
};

process.exitCode = await main();

async function main(): Promise<number> {
  const { target: only } = parseArgs({ options: { target: { type: "string" } } }).values;
  for (const peer of ["sslscan", "testssl"] as const) {
    if (isInstalled(peer)) continue;
    console.error(`test:tls: ${peer} is not installed; run scripts/install-peers`);
    return 1;
  }
  const builds = only ? { [only]: only as TargetName } : BUILDS;
  const certificates = makeCertificates();
  try {
    const results: Map<string, PointResult>[] = [];
    for (const name of Object.values(builds)) {
      results.push(await scanBuild(new Context(target(name), certificates)));
    }
    const table = tableOf(Object.keys(builds), results);
    console.log(table);
    const bad = results.flatMap((points, i) =>
      [...points].filter(([, { isGood }]) => !isGood)
        .map(([promise, { found }]) => `${Object.keys(builds)[i]}: ${promise}: ${found}`)
    );
    for (const line of bad) console.error(`test:tls: ${line}`);
    if (bad.length > 0) return 1;
    if (!only) replaceMarked("docs/tls.md", "findings", `\n${table}`);
    return 0;
  } finally {
    removeCertificates(certificates);
  }
}

/** Returns the results of one build by promise. */
async function scanBuild(context: Context): Promise<Map<string, PointResult>> {
  try {
    const { target, certificates } = context;
    const files = [certificates.localhost, ...target.dualCertificates ? [certificates.rsa] : []];
    const stud = await context.stud(files, { backend: (await context.echo()).port });
    const scan = await sslscan(stud.frontend);
    const findings = await testssl(stud.frontend, certificates.ca);
    return new Map([
      ...checkPoints(scanPoints, scan, target),
      ...checkPoints(findingPoints, findings, target),
    ]);
  } finally {
    await context.cleanUp();
  }
}

function checkPoints<T>(
  points: Readonly<Record<string, (seen: T, target: Target) => PointResult>>,
  seen: T,
  target: Target,
): [string, PointResult][] {
  return Object.entries(points).map(([promise, point]) => [promise, point(seen, target)]);
}

/** Returns a table in Markdown. */
function tableOf(builds: readonly string[], results: readonly Map<string, PointResult>[]): string {
  const rows = [...results[0]!.keys()].map((promise) => [
    promise,
    ...results.map((points) => {
      const { found, isGood } = points.get(promise)!;
      return isGood ? found : `**NOT GOOD**: ${found}`;
    }),
  ]);
  const lines = [["promise", ...builds], ["promise", ...builds].map(() => "---"), ...rows];
  return `${lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}\n`;
}
