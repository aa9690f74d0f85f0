/**
 * `npm run test:tls`: has sslscan and testssl check the default TLS settings of each build. Prints a
 * table, writes it into docs/tls.md after a run of all builds, and exits with 1 if one of them breaks
 * a promise. `--target=bun` (deno, node, dist-stud …) selects one, possibly from source.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { replaceMarked } from "../../scripts/marked.ts";
import { makeCertificates, removeCertificates } from "../support/certificates.ts";
import { isInstalled } from "../support/commands.ts";
import { Context } from "../support/context.ts";
import { sslscan, testssl } from "../support/scanners.ts";
import { type Target, target } from "../support/target.ts";
import { findingPoints, scanPoints, type Verdict } from "../support/tls_points.ts";

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
    const judged: Map<string, Verdict>[] = [];
    for (const name of Object.values(builds)) {
      judged.push(await judge(new Context(target(name), certificates)));
    }
    const table = tableOf(Object.keys(builds), judged);
    console.log(table);
    const bad = judged.flatMap((results, i) =>
      [...results].filter(([, { isGood }]) => !isGood)
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

/** The results by promise. */
async function judge(context: Context): Promise<Map<string, Verdict>> {
  try {
    const { target, certificates } = context;
    const files = [certificates.localhost, ...target.dualCertificates ? [certificates.rsa] : []];
    const stud = await context.stud(files, { backend: (await context.echo()).port });
    const scan = await sslscan(stud.frontend);
    const findings = await testssl(stud.frontend, certificates.ca);
    return new Map([
      ...results(scanPoints, scan, target),
      ...results(findingPoints, findings, target),
    ]);
  } finally {
    await context.cleanUp();
  }
}

function results<T>(
  points: Readonly<Record<string, (seen: T, target: Target) => Verdict>>,
  seen: T,
  target: Target,
): [string, Verdict][] {
  return Object.entries(points).map(([promise, point]) => [promise, point(seen, target)]);
}

/** In Markdown. */
function tableOf(builds: readonly string[], judged: readonly Map<string, Verdict>[]): string {
  const rows = [...judged[0]!.keys()].map((promise) => [
    promise,
    ...judged.map((results) => {
      const { found, isGood } = results.get(promise)!;
      return isGood ? found : `**NOT GOOD**: ${found}`;
    }),
  ]);
  const lines = [["promise", ...builds], ["promise", ...builds].map(() => "---"), ...rows];
  return `${lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}\n`;
}
