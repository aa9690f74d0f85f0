/** The short form of the fault suite, for continuous integration. */
import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import {
  type Certificates,
  makeCertificates,
  removeCertificates,
} from "../support/certificates.ts";
import { target } from "../support/target.ts";
import { perform } from "./runner.ts";
import { forms, type Scenario } from "./scenario.ts";
import { scenarios } from "./scenarios/index.ts";

const builds = (["dist-stud", "dist-stud-node", "dist-stud-deno"] as const).map(target);
/** Scenarios that compare CPU times: only the builds run beside each other, in the same phases. */
const ALONE: readonly string[] = ["slowloris"];
/** Scenarios that mostly wait for time limits: they run beside the others. */
const WAITING: readonly string[] = ["alerts"];
/** How many of the others run at a time. */
const LANES = 4;
/** Only a hang takes this long; in milliseconds. */
const LIMIT = 240_000;
const skip = process.getuid!() !== 0 && "only root can inspect workers and mount disks";

describe("faults, short form", () => {
  let certificates: Certificates;
  before(() => {
    certificates = makeCertificates();
  });
  after(() => removeCertificates(certificates));
  const suite = (name: string, concurrency: number, belongs: (each: Scenario) => boolean) =>
    describe(name, { concurrency }, () => {
      for (const scenario of scenarios) {
        if (!scenario.short || !belongs(scenario)) continue;
        for (const build of builds) {
          if (scenario.appliesTo && !scenario.appliesTo(build)) continue;
          it(`${build.name}: ${scenario.title}`, { skip, timeout: LIMIT }, async () => {
            const { problems } = await perform(scenario, build, forms.short, certificates);
            assert.ok(problems.length === 0, problems.join("\n"));
          });
        }
      }
    });
  suite("alone", builds.length, ({ name }) => ALONE.includes(name));
  describe("side by side", { concurrency: 2 }, () => {
    suite("waiting for time limits", builds.length, ({ name }) => WAITING.includes(name));
    suite("in parallel", LANES, ({ name }) => ![...ALONE, ...WAITING].includes(name));
  });
});
