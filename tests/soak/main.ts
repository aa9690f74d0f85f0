/**
 * `npm run test:soak`: the Bun and the Node build side by side under mixed load for 15 minutes
 * (`--minutes=N`). `--leaks` repeats instead what once made a runtime leak, `--reloads` reloads 50
 * times (every build). `--target=bun` (deno, node, dist-stud …) selects one build, `--only=TEXT` the
 * leaks with TEXT in their name. Writes docs/soak.md and its plots after a run of all builds, for
 * the soak of at least 15 minutes. Exits with 1 if something grows.
 */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { replaceMarked } from "../../scripts/marked.ts";
import { makeCertificates, removeCertificates } from "../support/certificates.ts";
import { Context } from "../support/context.ts";
import { target } from "../support/target.ts";
import { leakTable, testLeaks } from "./leaks.ts";
import { growthOf, maxGrowth, plot } from "./samples.ts";
import { MAX_RATIO, memoryOfReloads } from "./reloads.ts";
import { soak, type Soaked } from "./soak.ts";

type TargetName = Parameters<typeof target>[0];

const USUAL_MINUTES = 15;
const SOAKED = { bun: "dist-stud", node: "dist-stud-node" } as const;

process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: String(USUAL_MINUTES) },
      target: { type: "string" },
      leaks: { type: "boolean", default: false },
      reloads: { type: "boolean", default: false },
      only: { type: "string", default: "" },
    },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Error(`--minutes=${values.minutes} is not a number of minutes`);
  const certificates = makeCertificates();
  const inTurn = async <T>(name: TargetName, ask: (context: Context) => Promise<T>) => {
    const context = new Context(target(name), certificates);
    try {
      return await ask(context);
    } finally {
      await context.cleanUp();
    }
  };
  const only = values.target as TargetName | undefined;
  const names = only ? [only] : [...Object.values(SOAKED), "dist-stud-deno" as const];
  try {
    if (values.reloads) {
      const rows = [];
      for (const name of names) {
        rows.push(await inTurn(name, (context) => reloadRow(name, context)));
      }
      const table = [
        "| build | certificates, 1st → 50th | configuration, 1st → 50th |",
        "|---|---|---|",
        ...rows.map(({ text }) => text),
      ].join("\n");
      console.log(table);
      if (!only) replaceMarked("docs/soak.md", "reloads", `\n${table}\n`);
      return rows.every(({ isGood }) => isGood) ? 0 : 1;
    }
    if (values.leaks) {
      const results = [];
      for (const name of names) {
        results.push(await inTurn(name, (context) => testLeaks(context, values.only)));
      }
      const table = leakTable(names, results);
      console.log(table);
      if (!only && values.only === "") replaceMarked("docs/soak.md", "leaks", `\n${table}`);
      return results.flat().some(({ isGood }) => !isGood) ? 1 : 0;
    }
    const problems: string[] = [];
    const paragraphs: string[] = [];
    const soaking = Object.entries(only ? { [only]: only } : SOAKED).map(async ([title, name]) => ({
      ...{ title, name },
      soaked: await inTurn(name, (context) => soak(context, minutes)),
    }));
    for (const { title, name, soaked } of await Promise.all(soaking)) {
      paragraphs.push(describe(title, minutes, soaked));
      console.log(paragraphs.at(-1));
      problems.push(...problemsOf(soaked).map((problem) => `${name}: ${problem}`));
      const isToKeep = !only && minutes >= USUAL_MINUTES;
      const file = isToKeep
        ? new URL(`../../docs/soak-${title}.svg`, import.meta.url)
        : `${process.env.TMPDIR ?? "/tmp"}/soak-${title}.svg`;
      writeFileSync(
        file,
        plot(`Anonymous memory of the ${title} build under load and reloads`, soaked.samples),
      );
      if (isToKeep) replaceMarked("docs/soak.md", title, `\n${paragraphs.at(-1)}\n`);
    }
    for (const problem of problems) console.error(`test:soak: ${problem}`);
    return problems.length === 0 ? 0 : 1;
  } finally {
    removeCertificates(certificates);
  }
}

/** A row of the table of reloads. */
async function reloadRow(name: string, context: Context) {
  let isGood = true;
  const cells: string[] = [];
  for (const kind of ["certificates", "configuration"] as const) {
    const { first, last } = await memoryOfReloads(context, kind);
    isGood &&= last <= first * MAX_RATIO;
    cells.push(`${megabytes(first)} → ${megabytes(last)} MB`);
  }
  return { text: `| ${name} | ${cells.join(" | ")} |`, isGood };
}

function describe(
  title: string,
  minutes: number,
  { samples, counts, reloads, descriptors }: Soaked,
) {
  const { connections, resumptions, bulkMegabytes, vanished, failures } = counts;
  const figures = (["master", "workers"] as const).map((part) => {
    const { mean, growth } = growthOf(samples, part);
    return `${part} ${megabytes(mean)} MB, trend ${megabytes(growth)} MB`;
  });
  return [
    `${title}: ${minutes} minutes, ${connections} connections, ${resumptions} resumptions, ` +
    `${bulkMegabytes} MiB of bulk, ${vanished} clients that vanished in the handshake, ` +
    `${reloads} reloads; ${failures.length} failures.`,
    `Anonymous memory over the second half: ${figures.join("; ")}. ` +
    `Descriptors at rest: ${descriptors[0]} before, ${descriptors[1]} after.`,
  ].join("\n");
}

function problemsOf({ samples, counts, descriptors: [before, after] }: Soaked): string[] {
  const problems = [...counts.failures];
  for (const part of ["master", "workers"] as const) {
    const { growth, isFlat, mean } = growthOf(samples, part);
    if (isFlat) continue;
    problems.push(
      `the memory of the ${part} grew by ${megabytes(growth)} MB over the second half, not by at ` +
        `most ${megabytes(maxGrowth(mean))} MB`,
    );
  }
  if (after > before) problems.push(`${after} descriptors are open, not ${before}`);
  return problems;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
