/** The short form of the fault suite, for continuous integration: the builds side by side. */
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
import { forms } from "./scenario.ts";
import { scenarios } from "./scenarios/index.ts";

const builds = ["dist-stud", "dist-stud-node", "dist-stud-deno"] as const;
/** Nothing takes so long unless it hangs; in milliseconds. */
const LIMIT = 240_000;
const skip = process.getuid!() !== 0 && "only root may look into workers and mount disks";

describe("faults, short form", { concurrency: builds.length }, () => {
  let certificates: Certificates;
  before(() => {
    certificates = makeCertificates();
  });
  after(() => removeCertificates(certificates));
  for (const build of builds.map((name) => target(name))) {
    describe(build.name, { concurrency: 1 }, () => {
      for (const scenario of scenarios) {
        if (!scenario.short || scenario.appliesTo && !scenario.appliesTo(build)) continue;
        it(`${build.name}: ${scenario.title}`, { skip, timeout: LIMIT }, async () => {
          const { problems } = await perform(scenario, build, forms.short, certificates);
          assert.ok(problems.length === 0, problems.join("\n"));
        });
      }
    });
  }
});
