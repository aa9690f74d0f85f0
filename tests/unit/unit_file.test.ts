/** The units in contrib, as systemd itself reads them. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { configuration } from "../support/certificate_files.ts";
import { isInstalled } from "../support/commands.ts";
import { temporaryDirectory } from "../support/system.ts";

const contrib = fileURLToPath(new URL("../../contrib", import.meta.url));
// Under CI it has to be there.
const skip = process.env.CI !== "true" && !isInstalled("systemd-analyze") &&
  "not installed: systemd-analyze";
/** The largest allowed result of an offline analysis, in tenths; 10 would be no protection. */
const MOST_EXPOSED = 28;

function analyze(...words: string[]) {
  const { status, stdout, stderr } = spawnSync("systemd-analyze", words, {
    encoding: "utf8",
    timeout: 60_000,
  });
  return { status, output: `${stdout}${stderr}` };
}

/** The units where systemd finds the program, which is not installed here. */
function units(): string[] {
  const directory = temporaryDirectory();
  return ["stud.service", "stud.socket"].map((name) => {
    const text = readFileSync(join(contrib, name), "utf8");
    const copy = join(directory, name);
    writeFileSync(copy, text.replaceAll("/usr/local/bin/stud", "/bin/true"));
    return copy;
  });
}

test("systemd understands every line of the units", { skip }, () => {
  const { status, output } = analyze("verify", "--man=no", ...units());
  assert.equal(output, "");
  assert.equal(status, 0);
});

test("the service is as confined as its line says", { skip }, () => {
  const threshold = `--threshold=${MOST_EXPOSED}`;
  const { status, output } = analyze("security", "--offline=yes", threshold, units()[0]!);
  assert.equal(status, 0, output);
});

test("the unit gives a stop more time than it takes by default", () => {
  const unit = readFileSync(join(contrib, "stud.service"), "utf8");
  const seconds = (setting: string) =>
    Number(new RegExp(`^${setting}=(\\d+)$`, "m").exec(unit)?.[1]);
  const { drainTimeout, watchdog } = configuration();
  assert.ok(seconds("TimeoutStopSec") > drainTimeout);
  assert.ok(seconds("WatchdogSec") > watchdog + 60, "a worker's hang and its successor's start");
});
