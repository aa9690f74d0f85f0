/** Compares the builds with hitch, HAProxy and nginx; `--help` lists the options. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { makeCertificates, removeCertificates } from "../tests/support/certificates.ts";
import { readMarked } from "../scripts/marked.ts";
import { root } from "../tests/support/target.ts";
import { startNginx, startSink } from "./backend.ts";
import { type Cores, describeMachine, describeTools, missingTools, takeCores } from "./machine.ts";
import { HELP, type Options, readOptions } from "./options.ts";
import { plotCpu, plotLatency } from "./plots.ts";
import { BASE, earlierBuilds, type Program, programs, withAdmin } from "./programs.ts";
import { checkTargets, markdown, type Provenance, type Section, sectionText } from "./report.ts";
import { measureAll } from "./run.ts";
import { targets } from "./targets.ts";
import { type Workload, workloads } from "./workloads.ts";

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message.split("\n")[0] : error}`);
  process.exitCode = 1;
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2), {
    workloads: workloads.map(({ name }) => name),
    programs: programs.map(({ name }) => name),
  });
  if (options.help) return print(HELP);
  if (options.list) return print(list());
  const tools = missingTools();
  if (tools.length > 0) {
    throw new Error(`${tools.join(", ")} missing; run scripts/install-peers`);
  }
  const { present, versions, missing } = choosePrograms(options);
  for (const line of missing) console.error(`left out: ${line}`);
  if (present.length === 0) {
    throw new Error("no program to measure; run npm run build or scripts/install-peers");
  }
  const cores = takeCores();
  const date = new Date().toISOString().slice(0, 10);
  const sections = await measureSections(options, present, cores);
  if (options.output !== undefined) {
    const command = ["npm run bench", ...process.argv.slice(2)].join(" ").replace(
      "bench ",
      "bench -- ",
    );
    const machine = [...describeMachine(cores), ...versions, ...describeTools()];
    const directory = resolve(root, options.output);
    const page = join(directory, "performance.md");
    const [sessions, admin] = [readMarked(page, "sessions"), readMarked(page, "admin")];
    const provenance: Provenance = {
      command,
      date,
      rounds: options.rounds,
      machine,
      missing,
      sessions,
      admin,
    };
    writeReport(directory, sections, provenance);
  }
  return hasFailures(sections) ? 1 : 0;
}

function choosePrograms(options: Options) {
  const earlier = options.before === undefined ? [] : earlierBuilds(resolve(root, options.before));
  const chosen = programs.filter(({ name }) =>
    options.programs.length === 0 || options.programs.includes(name)
  ).flatMap((program) => {
    if (!options.admin) return [program];
    return program.ours ? [program, withAdmin(program)] : [];
  });
  const present: Program[] = [];
  const versions: string[] = [];
  const missing: string[] = [];
  for (const program of [...chosen, ...earlier]) {
    const version = program.version();
    if (version === undefined) {
      const remedy = program.ours ? "not built: npm run build" : "missing: scripts/install-peers";
      missing.push(`${program.title}, ${remedy}`);
    } else {
      present.push(program);
      versions.push(`${program.title}: ${version}`);
    }
  }
  return { present, versions, missing };
}

async function measureSections(
  options: Options,
  present: readonly Program[],
  cores: Cores,
): Promise<Section[]> {
  const certificates = makeCertificates();
  process.on("exit", () => removeCertificates(certificates));
  const backends = {
    nginx: await startNginx(certificates.directory),
    sink: await startSink(),
  };
  const chosen = chooseWorkloads(options);
  const sections: Section[] = [];
  try {
    for (const prefix of options.prefixes) {
      const { results, latencyRate } = await measureAll({
        ...{ programs: present, rounds: options.rounds, scale: options.quick ? 0.5 : 1, prefix },
        workloads: chosen.filter(({ plainOnly }) => !(prefix && plainOnly)),
        ...{ cores, certificates, backends },
        progress: (text) => showProgress(`${prefix ? "PROXY header" : "no prefix"}: ${text}`),
      });
      showProgress("");
      const peers = present.filter(({ ours }) => !ours).map(({ name }) => name);
      const section: Section = {
        ...{ prefix, results, latencyRate, base: BASE, columns: present },
        rows: chosen.flatMap(({ rows }) => rows),
        targetResults: prefix ? [] : checkTargets(targets, results, peers, BASE),
      };
      sections.push(section);
      console.log(sectionText(section));
    }
  } finally {
    await Promise.all([backends.nginx.stop(), backends.sink.stop()]);
  }
  return sections;
}

function chooseWorkloads({ only, quick }: Options): Workload[] {
  if (only.length > 0) return workloads.filter(({ name }) => only.includes(name));
  return workloads.filter(({ slow }) => !(quick && slow));
}

function writeReport(
  directory: string,
  sections: readonly Section[],
  provenance: Provenance,
): void {
  mkdirSync(directory, { recursive: true });
  const plots: string[] = [];
  const plot = (name: string, alt: string, svg: string | undefined) => {
    if (!svg) return;
    writeFileSync(join(directory, name), svg);
    plots.push(`![${alt}](${name})`, "");
  };
  const plain = sections.find(({ prefix }) => !prefix);
  if (plain) {
    plot("performance.svg", "CPU time per operation, as a ratio to hitch", plotCpu(plain));
    plot("performance-latency.svg", "Latency of small requests", plotLatency(plain));
  }
  writeFileSync(join(directory, "performance.md"), markdown(sections, provenance, plots));
}

function hasFailures(sections: readonly Section[]): boolean {
  return sections.some(({ rows, columns, results }) =>
    rows.some((row) =>
      columns.some(({ name }) => results.find(row.name, name)?.problem?.startsWith("failed"))
    )
  );
}

/** Overwrites one line on a terminal; prints a line per message elsewhere. */
function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  else if (text) process.stderr.write(`${text}\n`);
}

function list(): string {
  const lines = workloads.map(({ name, rows }) => `  ${name.padEnd(14)}${rows[0]!.title}`);
  const names = programs.map(({ name, title }) => `  ${name.padEnd(14)}${title}`);
  return ["workloads:", ...lines, "programs:", ...names, ""].join("\n");
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}
