/**
 * The fault suite: subjects every build under load to faults, and reports what clients noticed.
 * `npm run test:faults -- --help` lists the options. Exits with 1 if a promise was broken.
 */
import { existsSync } from "node:fs";
import { cpus, release } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { replaceMarked } from "../../scripts/marked.ts";
import { makeCertificates, removeCertificates } from "../support/certificates.ts";
import { target as targetOf } from "../support/target.ts";
import { markdown, outcomeText } from "./report.ts";
import { type Outcome, perform } from "./runner.ts";
import { forms, type Scenario } from "./scenario.ts";
import { scenarios } from "./scenarios/index.ts";

type TargetName = Parameters<typeof targetOf>[0];

const HELP = `usage: npm run test:faults -- [options]
  --target=NAME   bun, node or deno from source, or dist-stud, dist-stud-node, dist-stud-deno;
                  repeatable. Default: the three that were built
  --only=NAME     one scenario; repeatable
  --short         the short form
  --replay=FILE   the fuzzer sends the inputs of a failure again; with --only
  --write         put the table into docs/reliability.md
  --list          name the scenarios
`;
const PAGE = "docs/reliability.md";

process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      target: { type: "string", multiple: true },
      only: { type: "string", multiple: true },
      short: { type: "boolean", default: false },
      replay: { type: "string" },
      write: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  if (values.list) {
    for (const { name, title } of scenarios) console.log(`${name.padEnd(22)}${title}`);
    return 0;
  }
  const usual = values.short ? forms.short : forms.full;
  const form = values.replay === undefined ? usual : { ...usual, replay: values.replay };
  const targets = targetsOf(values.target);
  const chosen = scenariosOf(values.only, values.short);
  const certificates = makeCertificates();
  const outcomes: Outcome[] = [];
  try {
    for (const scenario of chosen) {
      for (const target of targets) {
        if (scenario.appliesTo && !scenario.appliesTo(target)) continue;
        const outcome = await perform(scenario, target, form, certificates);
        outcomes.push(outcome);
        console.log(outcomeText(outcome));
      }
    }
  } finally {
    removeCertificates(certificates);
  }
  if (values.write) {
    const date = new Date().toISOString().slice(0, 10);
    const making = [
      `\`npm run test:faults -- --write\` made this on ${date} with ${form.clients} clients.`,
      `CPU: ${cpus()[0]?.model}, ${cpus().length} cores; Linux ${release()}, ${process.arch}.`,
    ];
    replaceMarked(PAGE, "faults", markdown(outcomes, making));
  }
  const broken = outcomes.filter(({ problems }) => problems.length > 0).length;
  console.log(`${outcomes.length - broken} passed, ${broken} failed`);
  return broken === 0 ? 0 : 1;
}

function targetsOf(names: readonly string[] = ["dist-stud", "dist-stud-node", "dist-stud-deno"]) {
  return names.map((name) => {
    const target = targetOf(name as TargetName);
    if (!existsSync(target.command.at(-1)!)) {
      throw new Error(`${name} is not built; run npm run build`);
    }
    return target;
  });
}

function scenariosOf(names: readonly string[] | undefined, isShort: boolean): readonly Scenario[] {
  if (process.getuid!() !== 0) {
    throw new Error("only root can inspect workers and mount disks; run it as root");
  }
  if (!names) return scenarios.filter(({ short }) => short || !isShort);
  return names.map((name) => {
    const found = scenarios.find((scenario) => scenario.name === name);
    if (!found) throw new Error(`no scenario is named ${name}; --list shows all`);
    return found;
  });
}
