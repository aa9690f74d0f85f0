/**
 * Runs all tests: the checks of the sources, the unit tests in three runtimes, the behaviours of
 * every target, the live page in a browser, and faults under load. `--only=NAME` limits it to `check`,
 * `unit`, `browser`, `faults` or one target; with `--all` every behaviour runs on each build. The last
 * line counts all tests of all suites.
 */
import { spawn } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import { run } from "node:test";
import { fileURLToPath } from "node:url";
import { inspect, parseArgs, stripVTControlCharacters } from "node:util";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Runs one suite: prints its failures and returns its counts. */
type Suite = () => Promise<Counts>;

/** Time after which a suite is considered hung, in milliseconds. */
const SUITE_LIMIT = 20 * 60_000;
/** The same for one test, for Bun, whose default is five seconds. */
const TEST_LIMIT = 60_000;

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = join(root, "node_modules", ".bin");
const reports = mkdtempSync(join(tmpdir(), "stud-reports-"));
const unitTests = globSync("tests/unit/*.test.ts", { cwd: root }).sort();
const targets = globSync("tests/targets/*.test.ts", { cwd: root }).sort();

const suites: Record<string, Suite> = {
  "check": () => command("check", process.execPath, ["scripts/check.ts"]),
  // Two processes at a time, or one with Bun, since they wait now and then.
  "unit (3 runtimes)": async () =>
    sum(await Promise.all([nodeTests(unitTests, 2), unitBun(), unitDeno()])),
  ...Object.fromEntries(targets.map((file) => [basename(file, ".test.ts"), () => target(file)])),
  "browser": () => built(globSync("tests/browser/*.test.ts", { cwd: root }), 2),
  "faults": () => built(["tests/faults/short.test.ts"]),
};

// Without a cache, Node strips the types of all sources at each of some thousand starts.
process.env.NODE_COMPILE_CACHE = join(root, "node_modules", ".cache", "node");

process.exitCode = await main();

async function main(): Promise<number> {
  const options = { only: { type: "string" }, all: { type: "boolean" } } as const;
  const { only, all: everywhere } = parseArgs({ options }).values;
  // For the tests' processes.
  if (everywhere) process.env.STUD_TEST_ALL = "1";
  const chosen = Object.entries(suites).filter(([name]) =>
    !only || name === only || name.startsWith(`${only} (`)
  );
  if (chosen.length === 0) {
    console.error(`no suite is named ${only}; use one of ${Object.keys(suites).join(", ")}`);
    return 1;
  }
  const all: Counts[] = [];
  for (const [name, suite] of chosen) {
    const start = performance.now();
    const counts = await suite();
    all.push(counts);
    const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(6);
    console.log(`${name.padEnd(18)}${seconds} s  ${text(counts)}`);
  }
  rmSync(reports, { recursive: true, force: true });
  const total = sum(all);
  console.log(text(total));
  return total.failed === 0 ? 0 : 1;
}

function sum(all: readonly Counts[]): Counts {
  const total = (key: keyof Counts) => all.reduce((so, counts) => so + counts[key], 0);
  return { passed: total("passed"), failed: total("failed"), skipped: total("skipped") };
}

function unitBun(): Promise<Counts> {
  const report = join(reports, "bun.xml");
  const words = ["test", `--timeout=${TEST_LIMIT}`, "--reporter=junit"];
  const all = [...words, `--reporter-outfile=${report}`, ...here(unitTests)];
  return command("unit (bun)", join(bin, "bun"), all, report);
}

function unitDeno(): Promise<Counts> {
  const report = join(reports, "deno.xml");
  const words = ["test", "--parallel", "-A", "--no-check", "--unstable-net"];
  words.push(`--junit-path=${report}`);
  return command("unit (deno)", join(bin, "deno"), [...words, ...here(unitTests)], report);
}

function text({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`;
}

function target(file: string): Promise<Counts> {
  return file.includes("dist-") ? built([file]) : nodeTests([file]);
}

/** Runs tests of the built executables, after a build if they are out of date. */
async function built(files: readonly string[], concurrency = 1): Promise<Counts> {
  if (isStale()) {
    const built = await command("build", process.execPath, ["scripts/build.ts"]);
    if (built.failed) return built;
  }
  return await nodeTests(files, concurrency);
}

/**
 * Runs tests with Node's runner, which reports each test as an event, so no text has to be parsed.
 * Each file runs in its own process, `concurrency` at a time.
 */
async function nodeTests(files: readonly string[], concurrency = 1): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  const options = { cwd: root, concurrency, signal: AbortSignal.timeout(SUITE_LIMIT) };
  for await (const { type, data } of run({ ...options, files: files.map((f) => join(root, f)) })) {
    if (type === "test:stderr" || type === "test:stdout") process.stderr.write(data.message);
    if (type !== "test:pass" && type !== "test:fail") continue;
    if (data.details.type === "suite") continue;
    if (type === "test:fail") {
      counts.failed++;
      const { error } = data.details;
      console.log(`✖ ${data.name}\n${indented(inspect(error.cause ?? error, { depth: 3 }))}`);
    } else if (data.skip !== undefined) {
      counts.skipped++;
      console.log(`- ${data.name}: ${data.skip}`);
    } else {
      counts.passed++;
    }
  }
  return counts;
}

/**
 * Runs a test program; prints its output if it fails. Takes the counts from its JUnit report; without
 * one it counts as one test.
 */
async function command(
  name: string,
  program: string,
  words: readonly string[],
  report?: string,
): Promise<Counts> {
  const child = spawn(program, words, {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: SUITE_LIMIT,
    killSignal: "SIGKILL",
    // Of `deno test --parallel`.
    env: { ...process.env, DENO_JOBS: "2" },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => output += chunk);
  }
  const code = await new Promise<number | null>((resolve) => {
    child.on("error", (error) => output += error).on("close", resolve);
  });
  const counts = report
    ? readReport(report)
    : { passed: code === 0 ? 1 : 0, failed: 0, skipped: 0 };
  if (code !== 0) {
    counts.failed ||= 1;
    console.log(`✖ ${name}\n${indented(withoutPasses(output))}`);
  }
  return counts;
}

function readReport(path: string): Counts {
  let xml = "";
  try {
    xml = readFileSync(path, "utf8");
  } catch {
    // The runner failed before it wrote the report; its exit code says so.
  }
  const count = (element: RegExp) => xml.match(element)?.length ?? 0;
  const failed = count(/<(failure|error)\b/g);
  const skipped = count(/<skipped\b/g);
  return { passed: count(/<testcase\b/g) - failed - skipped, failed, skipped };
}

/** Bun and Deno report each of some thousand tests that pass in a line. */
function withoutPasses(output: string): string {
  const lines = stripVTControlCharacters(output).split("\n");
  return lines.filter((line) => !/^\(pass\) | \.\.\. ok \(/.test(line)).join("\n");
}

/** Whether a source is newer than the executables. */
function isStale(): boolean {
  const time = (file: string) => {
    const found = statSync(join(root, file), { throwIfNoEntry: false });
    return found ? found.mtimeMs : 0;
  };
  const built = ["dist/stud", "dist/stud-node", "dist/stud-deno.js"].map(time);
  const sources = [
    "mod.ts",
    "src/**/*.ts",
    "scripts/build.ts",
    "package.json",
    "package-lock.json",
  ];
  return globSync(sources, { cwd: root }).some((file) => time(file) > Math.min(...built));
}

/** Prefixes paths with `./`: the runners treat a bare path as a pattern. */
function here(files: readonly string[]): string[] {
  return files.map((file) => `./${file}`);
}

function indented(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, "    ");
}
